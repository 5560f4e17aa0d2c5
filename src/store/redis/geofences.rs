//! Geofence sets: their versions, the parts that versions are made of, and single edits on top.
//!
//! Parts are written one by one and go by themselves after a day, unless the upload is finished: then they are made to
//! stay before one script makes them a version.

use std::{collections::BTreeMap, ops::Range, sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use redis::{Cmd, FromRedisValue, cmd};
use uuid::Uuid;

use super::{
    RedisStore,
    control::{damaged, parse, read_geofence},
    keys::join,
    link::Failure,
    scripts::{Arguments, Lua},
};
use crate::{
    domain::{
        ids::{GeofenceId, SetName, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{FinishedUpload, SetSummary, SetVersion, StoreError, StoredEdit},
};

/// Parts of an upload that nobody finishes are kept for so long.
const UPLOAD_TTL: Duration = Duration::from_hours(24);
/// Parts that are looked at at once.
const PARTS_AT_ONCE: u32 = 32;
/// Fields of a hash that are read at once, about.
const FIELDS_AT_ONCE: u32 = 64;
/// Times that an upload is made a version when there is no answer: done twice, it says the same.
const TRIES_MAX: u32 = 3;

fn set_name(name: &str) -> Result<SetName, StoreError> {
    SetName::new(name).map_err(damaged)
}

/// Numbers and names with blanks between them.
fn words<const N: usize>(text: &str) -> Result<[&str; N], StoreError> {
    let words: Vec<&str> = text.split(' ').collect();
    words.try_into().map_err(|_| damaged(format!("`{text}`")))
}

/// When an edit was made, and its pack.
fn read_edit(value: &[u8]) -> Result<(Timestamp, Option<Vec<u8>>), StoreError> {
    let blank = value.iter().position(|&byte| byte == b' ');
    let (at, edit) = value.split_at(blank.ok_or_else(|| damaged("an edit cut short"))?);
    let at = parse(std::str::from_utf8(at).map_err(damaged)?)?;
    let pack = match edit {
        [b' ', b'+', pack @ ..] => Some(pack.to_vec()),
        [b' ', b'-'] => None,
        _ => return Err(damaged("an edit cut short")),
    };
    Ok((Timestamp(at), pack))
}

impl RedisStore {
    /// A change's first arguments: who makes it, and where.
    pub(super) fn change(&self, workspace: &WorkspaceId) -> Arguments {
        let mut arguments = Arguments::default();
        arguments.number(self.node).add(workspace.as_str());
        arguments
    }

    /// Runs a script on the catalogue. When it is unknown whether it was done, this node must look for itself.
    pub(super) async fn control<T: FromRedisValue>(
        &self,
        script: &Lua,
        arguments: &Arguments,
    ) -> Result<T, StoreError> {
        let answer = script.run(&self.link, &self.keys.control(), arguments).await;
        if matches!(answer, Err(Failure::Unknown(_))) {
            self.doubts.fetch_add(1, Ordering::AcqRel);
        }
        Ok(answer?)
    }

    /// A hash of the catalogue, as its fields and values, read a page at a time: single edits may be many and large. What
    /// is changed meanwhile may be missing, and is told as a change.
    async fn hash(&self, name: &str) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        let (mut all, mut cursor) = (BTreeMap::new(), 0u64);
        loop {
            let mut page = cmd("HSCAN");
            page.arg(format!("{}:{name}", self.keys.control())).arg(cursor);
            let (next, fields): (u64, Vec<(String, Vec<u8>)>) =
                self.link.ask(page.arg("COUNT").arg(FIELDS_AT_ONCE)).await?;
            all.extend(fields);
            cursor = next;
            if cursor == 0 {
                return Ok(all);
            }
        }
    }

    pub(super) async fn geofence_sets(&self, workspace: &WorkspaceId) -> Result<Vec<SetSummary>, StoreError> {
        let mut summaries = Vec::new();
        for (name, value) in self.hash(&format!("sets:{workspace}")).await? {
            let value = String::from_utf8(value).map_err(damaged)?;
            let [live, _, updated_at] = words(&value)?;
            summaries.push(SetSummary {
                set: set_name(&name)?,
                version: parse(live)?,
                updated_at: Timestamp(parse(updated_at)?),
            });
        }
        for (set, edits) in self.edits_by_set(workspace).await? {
            let latest = edits.iter().map(|(at, _)| *at).max().unwrap_or(Timestamp(0));
            match summaries.iter_mut().find(|summary| summary.set == set) {
                Some(summary) => summary.updated_at = summary.updated_at.max(latest),
                None => summaries.push(SetSummary {
                    set,
                    version: 0,
                    updated_at: latest,
                }),
            }
        }
        summaries.sort_by(|a, b| a.set.cmp(&b.set));
        Ok(summaries)
    }

    /// The kept versions of a set with their uploads.
    async fn versions(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
    ) -> Result<Vec<(u32, Uuid, u64, Timestamp)>, StoreError> {
        let name = format!("versions:{}", join(workspace.as_str(), set.as_str()));
        let mut versions = Vec::new();
        for (version, value) in self.hash(&name).await? {
            let value = String::from_utf8(value).map_err(damaged)?;
            let [upload, count, created_at, _] = words(&value)?;
            let upload = Uuid::parse_str(upload).map_err(damaged)?;
            versions.push((parse(&version)?, upload, parse(count)?, Timestamp(parse(created_at)?)));
        }
        Ok(versions)
    }

    pub(super) async fn geofence_set_versions(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
    ) -> Result<Vec<SetVersion>, StoreError> {
        let sets = self.geofence_sets(workspace).await?;
        let live = sets.iter().find(|known| known.set == *set).map(|known| known.version);
        let mut versions: Vec<SetVersion> = self
            .versions(workspace, set)
            .await?
            .into_iter()
            .map(|(version, _, count, created_at)| SetVersion {
                version,
                count,
                created_at,
                live: Some(version) == live,
            })
            .collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.version));
        Ok(versions)
    }

    pub(super) async fn geofence_part(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        version: u32,
        number: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let versions = self.versions(workspace, set).await?;
        let Some((_, upload, ..)) = versions.into_iter().find(|known| known.0 == version) else {
            return Ok(None);
        };
        let mut get = cmd("GET");
        get.arg(self.keys.part(upload, number));
        Ok(self.link.ask(&get).await?)
    }

    pub(super) async fn put_geofence_part(&self, upload: Uuid, number: u32, pack: &[u8]) -> Result<(), StoreError> {
        let mut set = cmd("SET");
        set.arg(self.keys.part(upload, number)).arg(pack);
        set.arg("PX").arg(UPLOAD_TTL.as_millis() as u64);
        let _: String = self.link.ask(&set).await?;
        Ok(())
    }

    /// Runs a command on these parts of an upload; its answers.
    async fn each_part(
        &self,
        upload: Uuid,
        numbers: Range<u32>,
        command: impl Fn(String) -> Cmd,
    ) -> Result<Vec<i64>, Failure> {
        let mut answers = Vec::with_capacity(numbers.len());
        for first in numbers.clone().step_by(PARTS_AT_ONCE as usize) {
            let some = first..numbers.end.min(first + PARTS_AT_ONCE);
            let asked = join_all(some.map(async |number| {
                let command = command(self.keys.part(upload, number));
                self.link.ask::<i64>(&command).await
            }));
            for answer in asked.await {
                answers.push(answer?);
            }
        }
        Ok(answers)
    }

    /// Throws away an upload that was not finished; what this leaves goes by itself.
    pub(super) async fn delete_parts(&self, upload: Uuid) -> Result<(), StoreError> {
        for first in (0..).step_by(PARTS_AT_ONCE as usize) {
            let some = first..first + PARTS_AT_ONCE;
            let deleted = self.each_part(upload, some, Cmd::del).await?;
            if deleted.contains(&0) {
                break;
            }
        }
        Ok(())
    }

    /// Parts of versions that are no longer kept go; what is left of them by a failure is only room.
    async fn delete_superseded(&self, versions: &[String]) {
        for version in versions {
            let deleted = async {
                let [upload, _, _, parts] = words(version)?;
                let upload = Uuid::parse_str(upload).map_err(damaged)?;
                self.each_part(upload, 0..parse(parts)?, Cmd::del).await?;
                Ok::<_, StoreError>(())
            };
            if let Err(error) = deleted.await {
                tracing::warn!(%error, version, "parts of an old geofence version are left behind");
            }
        }
    }

    /// Makes every part of an upload stay.
    async fn keep_parts(&self, upload: Uuid, parts: u32) -> Result<(), StoreError> {
        let stay = |part: String| {
            let mut persist = cmd("PERSIST");
            persist.arg(part);
            persist
        };
        self.each_part(upload, 0..parts, stay).await?;
        // One that stayed already answers like one that is not there.
        let there = self.each_part(upload, 0..parts, Cmd::exists).await?;
        if there.contains(&0) {
            return Err(StoreError::Unavailable("parts of an upload are gone".to_owned()));
        }
        Ok(())
    }

    /// Lets the parts of an upload go by themselves again, unless it is or may be a version.
    async fn let_go(&self, workspace: &WorkspaceId, set: &SetName, finished: &FinishedUpload) {
        let expire = |part: String| {
            let mut expire = cmd("PEXPIRE");
            expire.arg(part).arg(UPLOAD_TTL.as_millis() as u64);
            expire
        };
        let gone = async {
            let versions = self.versions(workspace, set).await?;
            if !versions.iter().any(|(_, upload, ..)| *upload == finished.upload) {
                self.each_part(finished.upload, 0..finished.parts, expire).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = gone.await {
            tracing::warn!(%error, upload = %finished.upload, "parts of an unfinished upload are left behind");
        }
    }

    pub(super) async fn finish_geofence_upload(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        finished: FinishedUpload,
        versions_kept: u32,
    ) -> Result<u32, StoreError> {
        if let Err(error) = self.keep_parts(finished.upload, finished.parts).await {
            self.let_go(workspace, set, &finished).await;
            return Err(error);
        }
        let mut arguments = self.change(workspace);
        arguments
            .add(set.as_str())
            .number(finished.upload)
            .number(finished.count)
            .number(finished.at.0)
            .number(versions_kept.max(1))
            .number(finished.parts);
        let (control, mut tries) = (self.keys.control(), 1);
        let answer: Vec<String> = loop {
            match self.scripts.finish_upload.run(&self.link, &control, &arguments).await {
                Err(Failure::Unknown(_)) if tries < TRIES_MAX => tries += 1,
                Ok(answer) => break answer,
                Err(failure) => {
                    if tries > 1 || matches!(failure, Failure::Unknown(_)) {
                        // It may be done yet, so its parts stay.
                        self.doubts.fetch_add(1, Ordering::AcqRel);
                    } else {
                        self.let_go(workspace, set, &finished).await;
                    }
                    return Err(failure.into());
                }
            }
        };
        let (version, superseded) = answer.split_first().ok_or_else(|| damaged("no version"))?;
        let version = parse(version)?;
        self.delete_superseded(superseded).await;
        Ok(version)
    }

    pub(super) async fn delete_geofence_set(&self, workspace: &WorkspaceId, set: &SetName) -> Result<bool, StoreError> {
        let mut arguments = self.change(workspace);
        arguments.add(set.as_str());
        let answer: Vec<String> = self.control(&self.scripts.delete_set, &arguments).await?;
        let (was_there, versions) = answer.split_first().ok_or_else(|| damaged("no answer"))?;
        self.delete_superseded(versions).await;
        Ok(was_there == "1")
    }

    async fn edits_by_set(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Vec<(SetName, Vec<(Timestamp, StoredEdit)>)>, StoreError> {
        let mut members = cmd("SMEMBERS");
        members.arg(format!("{}:edited:{workspace}", self.keys.control()));
        let mut names: Vec<String> = self.link.ask(&members).await?;
        names.sort_unstable();
        let mut all = Vec::new();
        for name in names {
            let set = set_name(&name)?;
            let mut edits = Vec::new();
            let kept = self.hash(&format!("edits:{}", join(workspace.as_str(), &name))).await?;
            for (geofence, value) in kept {
                let (at, pack) = read_edit(&value)?;
                let id = read_geofence(&geofence)?;
                let set = set.clone();
                edits.push((at, StoredEdit { set, id, pack }));
            }
            edits.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
            all.push((set, edits));
        }
        Ok(all)
    }

    pub(super) async fn geofence_edits(&self, workspace: &WorkspaceId) -> Result<Vec<StoredEdit>, StoreError> {
        let edits = self.edits_by_set(workspace).await?;
        Ok(edits
            .into_iter()
            .flat_map(|(_, edits)| edits.into_iter().map(|(_, edit)| edit))
            .collect())
    }

    pub(super) async fn named_geofence_edits(
        &self,
        workspace: &WorkspaceId,
        edited: &[(SetName, GeofenceId)],
    ) -> Result<Vec<StoredEdit>, StoreError> {
        let found = join_all(edited.iter().map(async |(set, id)| {
            let name = join(workspace.as_str(), set.as_str());
            let mut get = cmd("HGET");
            get.arg(format!("{}:edits:{name}", self.keys.control()));
            get.arg(join(id.tag.as_str(), id.external_id.as_str()));
            let kept: Option<Vec<u8>> = self.link.ask(&get).await?;
            let read = kept.map(|value| {
                let (_, pack) = read_edit(&value)?;
                let (set, id) = (set.clone(), id.clone());
                Ok::<_, StoreError>(StoredEdit { set, id, pack })
            });
            read.transpose()
        }))
        .await;
        found.into_iter().filter_map(Result::transpose).collect()
    }

    pub(super) async fn put_geofence_edit(
        &self,
        workspace: &WorkspaceId,
        edit: &StoredEdit,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut arguments = self.change(workspace);
        arguments
            .add(edit.set.as_str())
            .add(join(edit.id.tag.as_str(), edit.id.external_id.as_str()))
            .number(at.0)
            .flag(edit.pack.is_some())
            .add(edit.pack.as_deref().unwrap_or_default());
        self.control::<i64>(&self.scripts.put_edit, &arguments).await.map(drop)
    }
}
