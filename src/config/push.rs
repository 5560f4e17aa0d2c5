//! `[push]`: the providers, and with which credentials.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::ConfigError;
use crate::{
    domain::{
        ids::{AppId, WorkspaceId},
        time::DurationMs,
    },
    push::{ApnsAuth, ApnsConfig, ApnsCredential, FcmAuth, FcmConfig, FcmCredential, PoolOptions, Scope},
};

/// Most connections that may be allowed with one credential.
const CONNECTIONS_MAX: usize = 100;

/// `[push]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushSection {
    /// The HTTP proxy to go through; empty: none.
    pub proxy: SecretString,
    /// Most connections to one host with one credential.
    pub connections_max: usize,
    /// Time for name lookup, TCP, proxy and TLS.
    pub connect_timeout: DurationMs,
    /// An unused connection is pinged after this.
    pub keep_alive_after: DurationMs,
    /// Apple.
    pub apns: ApnsSection,
    /// Google.
    pub fcm: FcmSection,
}

/// `[push.apns]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApnsSection {
    /// The .p8 file.
    pub key_file: String,
    /// Its id.
    pub key_id: String,
    /// The team's.
    pub team_id: String,
    /// Certificate and key, in place of a .p8 file.
    pub certificate_file: String,
    /// More credentials, each for some apps or a workspace.
    pub teams: Vec<ApnsTeamSection>,
    /// Production.
    pub base_url: String,
    /// Development.
    pub sandbox_base_url: String,
    /// More roots.
    pub ca_file: String,
}

/// `[[push.apns.teams]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApnsTeamSection {
    /// Only for pushes of this workspace; empty: of all.
    pub workspace: String,
    /// Bundle ids; empty: all that no other one names.
    pub apps: Vec<String>,
    /// The .p8 file.
    pub key_file: String,
    /// Its id.
    pub key_id: String,
    /// The team's.
    pub team_id: String,
    /// Certificate and key, in place of a .p8 file.
    pub certificate_file: String,
}

/// `[push.fcm]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcmSection {
    /// The service account's file.
    pub service_account_file: String,
    /// Whether the machine says who it is.
    pub application_default_credentials: bool,
    /// For which project, with those.
    pub project_id: String,
    /// More projects, each for some apps or a workspace.
    pub projects: Vec<FcmProjectSection>,
    /// Where pushes go.
    pub base_url: String,
    /// More roots.
    pub ca_file: String,
}

/// `[[push.fcm.projects]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FcmProjectSection {
    /// Only for pushes of this workspace; empty: of all.
    pub workspace: String,
    /// Package names; empty: all that no other one names.
    pub apps: Vec<String>,
    /// The service account's file.
    pub service_account_file: String,
    /// Whether the machine says who it is.
    pub application_default_credentials: bool,
    /// For which project, with those.
    pub project_id: String,
}

fn wrong(key: &'static str, detail: impl Into<String>) -> ConfigError {
    ConfigError::Value {
        key,
        detail: detail.into(),
    }
}

fn read(key: &'static str, path: &str) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| wrong(key, format!("{path}: {error}")))
}

pub(super) fn read_roots(key: &'static str, path: &str) -> Result<Option<String>, ConfigError> {
    if path.is_empty() {
        Ok(None)
    } else {
        read(key, path).map(Some)
    }
}

fn scope(key: &'static str, workspace: &str, apps: &[String]) -> Result<Scope, ConfigError> {
    let apps = apps.iter().map(AppId::new).collect::<Result<Vec<_>, _>>();
    let workspace = (!workspace.is_empty()).then(|| WorkspaceId::new(workspace)).transpose();
    Ok(Scope {
        workspace: workspace.map_err(|error| wrong(key, format!("the workspace {error}")))?,
        apps: apps.map_err(|error| wrong(key, format!("an app {error}")))?,
    })
}

impl PushSection {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(1..=CONNECTIONS_MAX).contains(&self.connections_max) {
            return Err(wrong(
                "push.connections_max",
                format!("must be from 1 to {CONNECTIONS_MAX}"),
            ));
        }
        if self.connect_timeout.0 == 0 || self.keep_alive_after.0 == 0 {
            return Err(wrong(
                "push.connect_timeout and keep_alive_after",
                "must be longer than nothing",
            ));
        }
        Ok(())
    }

    fn pool(&self) -> PoolOptions {
        PoolOptions {
            connections_max: self.connections_max,
            connect_timeout: self.connect_timeout.to_std(),
            keep_alive_after: self.keep_alive_after.to_std(),
            ..PoolOptions::default()
        }
    }

    fn proxy(&self) -> Option<SecretString> {
        (!self.proxy.expose_secret().is_empty()).then(|| self.proxy.clone())
    }

    /// The APNs client's settings; `None` when there is no credential.
    pub fn apns_client(&self) -> Result<Option<ApnsConfig>, ConfigError> {
        let section = &self.apns;
        let single = ApnsTeamSection {
            key_file: section.key_file.clone(),
            key_id: section.key_id.clone(),
            team_id: section.team_id.clone(),
            certificate_file: section.certificate_file.clone(),
            ..ApnsTeamSection::default()
        };
        let mut credentials = Vec::new();
        if !(single.key_file.is_empty() && single.certificate_file.is_empty()) {
            credentials.push(single.credential("push.apns")?);
        }
        for team in &section.teams {
            credentials.push(team.credential("push.apns.teams")?);
        }
        if credentials.is_empty() {
            return Ok(None);
        }
        Ok(Some(ApnsConfig {
            credentials,
            base_url: section.base_url.clone(),
            sandbox_base_url: section.sandbox_base_url.clone(),
            ca_pem: read_roots("push.apns.ca_file", &section.ca_file)?,
            proxy: self.proxy(),
            pool: self.pool(),
        }))
    }

    /// The FCM client's settings; `None` when there is no credential.
    pub fn fcm_client(&self) -> Result<Option<FcmConfig>, ConfigError> {
        let section = &self.fcm;
        let single = FcmProjectSection {
            service_account_file: section.service_account_file.clone(),
            application_default_credentials: section.application_default_credentials,
            project_id: section.project_id.clone(),
            ..FcmProjectSection::default()
        };
        let mut credentials = Vec::new();
        if !single.service_account_file.is_empty() || single.application_default_credentials {
            credentials.push(single.credential("push.fcm")?);
        }
        for project in &section.projects {
            credentials.push(project.credential("push.fcm.projects")?);
        }
        if credentials.is_empty() {
            return Ok(None);
        }
        Ok(Some(FcmConfig {
            credentials,
            base_url: section.base_url.clone(),
            ca_pem: read_roots("push.fcm.ca_file", &section.ca_file)?,
            proxy: self.proxy(),
            pool: self.pool(),
        }))
    }
}

impl ApnsTeamSection {
    fn credential(&self, section: &'static str) -> Result<ApnsCredential, ConfigError> {
        let auth = match (self.key_file.is_empty(), self.certificate_file.is_empty()) {
            (false, true) => {
                if self.key_id.is_empty() || self.team_id.is_empty() {
                    let detail =
                        "key_id and team_id are needed beside key_file; Apple shows both where you downloaded the key";
                    return Err(wrong(section, detail));
                }
                ApnsAuth::Token {
                    key_pem: SecretString::from(read(section, &self.key_file)?),
                    key_id: self.key_id.clone(),
                    team_id: self.team_id.clone(),
                }
            }
            (true, false) => ApnsAuth::Certificate {
                pem: SecretString::from(read(section, &self.certificate_file)?),
                name: self.certificate_name(),
            },
            _ => return Err(wrong(section, "needs either key_file or certificate_file")),
        };
        Ok(ApnsCredential {
            scope: scope(section, &self.workspace, &self.apps)?,
            auth,
        })
    }

    fn certificate_name(&self) -> String {
        let path = std::path::Path::new(&self.certificate_file);
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        stem.to_string_lossy().into_owned()
    }
}

impl FcmProjectSection {
    fn credential(&self, section: &'static str) -> Result<FcmCredential, ConfigError> {
        let auth = match (
            self.service_account_file.is_empty(),
            self.application_default_credentials,
        ) {
            (false, false) => FcmAuth::ServiceAccount(SecretString::from(read(section, &self.service_account_file)?)),
            (true, true) if self.project_id.is_empty() => {
                return Err(wrong(
                    section,
                    "project_id is needed beside application_default_credentials",
                ));
            }
            (true, true) => FcmAuth::ApplicationDefault {
                project_id: self.project_id.clone(),
            },
            _ => {
                return Err(wrong(
                    section,
                    "needs either service_account_file or application_default_credentials",
                ));
            }
        };
        Ok(FcmCredential {
            scope: scope(section, &self.workspace, &self.apps)?,
            auth,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn load(toml: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("beckon.toml");
        std::fs::write(&file, toml).expect("written");
        Config::load(Some(&file))
    }

    #[test]
    fn several_teams_and_a_certificate() {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, certificate) = (folder.path().join("AuthKey_A.p8"), folder.path().join("shop.pem"));
        std::fs::write(&key, "key").expect("written");
        std::fs::write(&certificate, "certificate").expect("written");
        let (key, certificate) = (key.display(), certificate.display());
        let config = load(&format!(
            "[push]\nproxy = 'http://proxy:3128'\n\
             [push.apns]\nkey_file = '{key}'\nkey_id = 'A'\nteam_id = 'T'\n\
             [[push.apns.teams]]\napps = ['com.example.shop']\ncertificate_file = '{certificate}'\n\
             [[push.apns.teams]]\nworkspace = 'alliance'\nkey_file = '{key}'\nkey_id = 'B'\nteam_id = 'U'\n\
             [[push.fcm.projects]]\napps = ['com.example.air']\napplication_default_credentials = true\nproject_id = 'air'\n",
        ))
        .expect("valid");
        let apns = config.push.apns_client().expect("read").expect("set up");
        assert!(apns.proxy.is_some());
        let scopes: Vec<_> = apns.credentials.iter().map(|one| &one.scope).collect();
        assert_eq!(*scopes[0], Scope::default());
        assert_eq!(scopes[1].apps, [AppId::new("com.example.shop").expect("an id")]);
        assert_eq!(scopes[2].workspace, WorkspaceId::new("alliance").ok());
        assert!(matches!(&apns.credentials[1].auth, ApnsAuth::Certificate { name, .. } if name == "shop"));
        let fcm = config.push.fcm_client().expect("read").expect("set up");
        assert!(matches!(&fcm.credentials[0].auth, FcmAuth::ApplicationDefault { project_id } if project_id == "air"));
    }

    #[test]
    fn credentials_that_are_half_or_double_are_refused() {
        for (toml, expected) in [
            (
                "[push.apns]\nkey_file = 'k'\n",
                "push.apns: key_id and team_id are needed",
            ),
            (
                "[push.apns]\nkey_file = 'k'\ncertificate_file = 'c'\n",
                "push.apns: needs either key_file or certificate_file",
            ),
            ("[[push.apns.teams]]\napps = ['a']\n", "push.apns.teams: needs either"),
            (
                "[[push.apns.teams]]\napps = ['']\ncertificate_file = '/nowhere/c.pem'\n",
                "push.apns.teams: /nowhere/c.pem: ",
            ),
        ] {
            let error = load(toml)
                .expect("valid")
                .push
                .apns_client()
                .expect_err("refused")
                .to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        for (toml, expected) in [
            (
                "[push.fcm]\napplication_default_credentials = true\n",
                "push.fcm: project_id is needed",
            ),
            (
                "[[push.fcm.projects]]\nproject_id = 'x'\n",
                "push.fcm.projects: needs either",
            ),
        ] {
            let error = load(toml)
                .expect("valid")
                .push
                .fcm_client()
                .expect_err("refused")
                .to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let error = load("[push]\nconnections_max = 0\n").expect_err("refused").to_string();
        assert!(error.starts_with("push.connections_max"), "{error}");
        assert!(load("[[push.apns.teams]]\nkey = 'k'\n").is_err(), "unknown keys fail");
    }
}
