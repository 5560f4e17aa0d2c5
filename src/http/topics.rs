//! `/v1/users/{userId}/topics/{topic}` and `/v1/topics/{topic}/members`: who follows what.

use std::{collections::HashSet, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use super::{
    App,
    auth::Caller,
    body, path_id,
    problem::{Code, Problem, Wrong},
    resource, to_its_end,
};
use crate::{
    domain::ids::{Topic, UserId},
    engine::{ports::Role, topics::Followed},
};

/// Most members of one request.
const MEMBERS_MAX: usize = 10_000;
/// Most lines whose errors are named.
const ERRORS_MAX: usize = 100;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/v1/users/{userId}/topics/{topic:.+}")
                .route(web::put().to(follow))
                .route(web::delete().to(unfollow)),
        )
        .service(resource("/v1/topics/{topic:.+}/members").route(web::post().to(add_members)));
}

async fn follow(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    set_topic(&app, &caller, &path, true).await
}

async fn unfollow(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    set_topic(&app, &caller, &path, false).await
}

async fn set_topic(
    app: &App,
    caller: &Caller,
    path: &(String, String),
    follows: bool,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let user = path_id("the user id", &path.0, UserId::new)?;
    let topic = path_id("the topic", &path.1, Topic::new)?;
    let outcome = app.engine.set_topic(&caller.workspace, &user, &topic, follows).await?;
    outcome.map_err(|error| Problem::new(Code::TooManyItems, error.to_string()))?;
    Ok(HttpResponse::NoContent().finish())
}

/// One line of a body, or what is wrong with it.
struct Line {
    number: u64,
    user: Result<UserId, Problem>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MemberBody {
    Id(String),
    Member {
        #[serde(rename = "userId")]
        user_id: String,
    },
}

fn read_member(line: &[u8]) -> Result<UserId, Problem> {
    let wrong = |detail: String| Problem::new(Code::FieldInvalid, detail);
    let member = match serde_json::from_slice(line) {
        Ok(member) => member,
        Err(error) if error.is_data() => {
            return Err(wrong("must be {\"userId\": \"...\"} or a text".to_owned()));
        }
        Err(error) => return Err(body::broken(line, &error)),
    };
    let (MemberBody::Id(id) | MemberBody::Member { user_id: id }) = member;
    UserId::new(id).map_err(|error| wrong(format!("`userId` {error}")))
}

fn read_lines(bytes: &[u8]) -> Vec<Line> {
    let lines = (1u64..).zip(bytes.split(|byte| *byte == b'\n'));
    lines
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .take(MEMBERS_MAX + 1)
        .map(|(number, line)| Line {
            number,
            user: read_member(line),
        })
        .collect()
}

fn read_csv(bytes: &[u8]) -> Result<Vec<Line>, Problem> {
    let wrong = |error: &csv::Error| Problem::new(Code::FieldInvalid, error.to_string());
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let headers = reader.headers().map_err(|error| wrong(&error))?;
    let column = headers
        .iter()
        .position(|name| name.trim_start_matches('\u{feff}').trim() == "userId");
    let column = column.ok_or_else(|| {
        let detail = "the first line must name the columns, and one of them is `userId`";
        Problem::new(Code::FieldInvalid, detail).within("", Some(1))
    })?;
    let mut lines = Vec::new();
    for row in reader.records().take(MEMBERS_MAX + 1) {
        let number = match &row {
            Ok(row) => row.position().map_or(0, csv::Position::line),
            Err(error) => error.position().map_or(0, csv::Position::line),
        };
        let user = row.map_err(|error| wrong(&error)).and_then(|row| {
            let id = row.get(column).unwrap_or_default();
            UserId::new(id).map_err(|error| Problem::new(Code::FieldInvalid, format!("`userId` {error}")))
        });
        lines.push(Line { number, user });
    }
    Ok(lines)
}

async fn add_members(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Role::Marketer)?;
    let topic = path_id("the topic", &path, Topic::new)?;
    let kind = body::content_type(&request);
    let bytes = body::read(&request, payload, app.limits.body_bytes_max).await?;
    let lines = match kind.as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => read_lines(&bytes),
        "text/csv" => read_csv(&bytes)?,
        other => {
            let detail = format!("`{other}` is not taken here; send application/x-ndjson or text/csv");
            return Err(Problem::new(Code::ContentTypeUnsupported, detail));
        }
    };
    if lines.len() > MEMBERS_MAX {
        let detail = format!("more than {MEMBERS_MAX} members at once; send them in parts");
        return Err(Problem::new(Code::TooManyItems, detail));
    }
    let read = lines.len();
    let (mut numbers, mut users, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let (mut seen, mut repeated) = (HashSet::new(), 0);
    for line in lines {
        match line.user {
            Err(problem) => refused.push((line.number, problem)),
            Ok(user) if seen.insert(user.clone()) => {
                numbers.push(line.number);
                users.push(user);
            }
            Ok(_) => repeated += 1,
        }
    }
    let outcomes = {
        let (engine, workspace, topic) = (Arc::clone(&app.engine), caller.workspace.clone(), topic.clone());
        to_its_end(async move { engine.follow_many(&workspace, &users, &topic).await }).await?
    };
    let (mut added, mut unchanged) = (0, repeated);
    for (number, outcome) in numbers.into_iter().zip(outcomes) {
        match outcome {
            Ok(Ok(Followed::Added)) => added += 1,
            Ok(Ok(Followed::Unchanged)) => unchanged += 1,
            Ok(Err(error)) => refused.push((number, Problem::new(Code::TooManyItems, error.to_string()))),
            Err(error) => refused.push((number, error.into())),
        }
    }
    // When the store takes nothing, it is no matter of lines.
    let unavailable = refused.iter().position(|(_, problem)| problem.code().status() >= 500);
    if let (0, 0, Some(index)) = (added, unchanged, unavailable) {
        return Err(refused.swap_remove(index).1);
    }
    refused.sort_by_key(|(number, _)| *number);
    let rejected = refused.len();
    let errors: Vec<Wrong> = refused
        .into_iter()
        .take(ERRORS_MAX)
        .flat_map(|(number, problem)| problem.within("", Some(number)).into_errors())
        .collect();
    Ok(HttpResponse::Ok().json(json!({
        "topic": topic, "read": read, "added": added, "unchanged": unchanged, "rejected": rejected, "errors": errors,
    })))
}
