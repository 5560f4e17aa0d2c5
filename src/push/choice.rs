//! Which of several credentials a push goes out with.

use std::collections::HashMap;

use crate::domain::ids::{AppId, WorkspaceId};

use super::pool::SetupError;

/// Which pushes a credential is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only those of this workspace.
    pub workspace: Option<WorkspaceId>,
    /// Only those to these apps (bundle ids, package names); none: to every app for which no other credential is named.
    pub apps: Vec<AppId>,
}

/// Credentials by scope. One of the push's workspace goes before one for all, and one that names the app before one that
/// does not.
pub(super) struct Choice<T> {
    items: Vec<T>,
    of_workspace: HashMap<WorkspaceId, ByApp>,
    of_all: ByApp,
}

#[derive(Default)]
struct ByApp {
    named: HashMap<AppId, usize>,
    others: Option<usize>,
}

impl<T> Choice<T> {
    /// Refuses two for the same pushes. `section` names them in the error.
    pub(super) fn new(items: Vec<(Scope, T)>, section: &str) -> Result<Self, SetupError> {
        let mut choice = Self {
            items: Vec::with_capacity(items.len()),
            of_workspace: HashMap::new(),
            of_all: ByApp::default(),
        };
        for (number, (scope, item)) in items.into_iter().enumerate() {
            choice.items.push(item);
            let by_app = match scope.workspace {
                Some(workspace) => choice.of_workspace.entry(workspace).or_default(),
                None => &mut choice.of_all,
            };
            let twice = |what: &str| SetupError::Credential(format!("{section}: two credentials are for {what}"));
            if scope.apps.is_empty() && by_app.others.replace(number).is_some() {
                return Err(twice("all apps; name the apps of one of them"));
            }
            for app in scope.apps {
                if by_app.named.insert(app.clone(), number).is_some() {
                    return Err(twice(&format!("the app {app}")));
                }
            }
        }
        Ok(choice)
    }

    pub(super) fn of(&self, workspace: &WorkspaceId, app: &AppId) -> Option<&T> {
        let number = self
            .of_workspace
            .get(workspace)
            .and_then(|by_app| by_app.number(app))
            .or_else(|| self.of_all.number(app))?;
        self.items.get(number)
    }
}

impl ByApp {
    fn number(&self, app: &AppId) -> Option<usize> {
        self.named.get(app).copied().or(self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(workspace: &str, apps: &[&str]) -> Scope {
        Scope {
            workspace: WorkspaceId::new(workspace).ok(),
            apps: apps.iter().map(|app| AppId::new(app).unwrap()).collect(),
        }
    }

    #[test]
    fn the_nearest_credential_is_chosen() {
        let choice = Choice::new(
            vec![
                (scope("", &[]), "all"),
                (scope("", &["com.air"]), "air"),
                (scope("alliance", &[]), "alliance"),
                (scope("alliance", &["com.shop", "com.cafe"]), "shops"),
            ],
            "push.apns",
        )
        .unwrap();
        let of = |workspace: &str, app: &str| {
            *choice
                .of(&WorkspaceId::new(workspace).unwrap(), &AppId::new(app).unwrap())
                .unwrap()
        };
        assert_eq!(of("default", "com.shop"), "all");
        assert_eq!(of("default", "com.air"), "air");
        assert_eq!(of("alliance", "com.air"), "alliance");
        assert_eq!(of("alliance", "com.cafe"), "shops");
    }

    #[test]
    fn an_app_without_a_credential_has_none_and_two_for_one_are_refused() {
        let choice = Choice::new(vec![(scope("", &["com.air"]), ())], "push.apns").unwrap();
        let none = choice.of(&WorkspaceId::new("w").unwrap(), &AppId::new("com.shop").unwrap());
        assert!(none.is_none());
        for (one, two) in [(vec!["com.air"], vec!["com.shop", "com.air"]), (vec![], vec![])] {
            let refused = Choice::new(vec![(scope("", &one), ()), (scope("", &two), ())], "push.apns");
            let text = refused.err().map(|error| error.to_string()).unwrap();
            assert!(text.starts_with("push.apns: two credentials are for "), "{text}");
        }
    }
}
