//! `POST /v1/check-ins`: one check-in, an array, or a line each; answered item by item.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::Value;

mod door;

pub(super) use self::door::ACCURACY_MAX_M;
use self::door::{Door, Item};
use super::{
    App,
    auth::{Caller, Identity},
    body::{self, UnknownFields},
    geofences::{PresentBody, RegionsBody},
    problem::{Code, Problem, ProblemBody, RETRY_AFTER_SECONDS},
    resource, to_its_end,
};
use crate::{
    domain::{checkin::CheckIn, decide::Status, event::Event, presence::Doubt, time::Timestamp},
    engine::{
        EngineError,
        ingest::{Answer, UnknownDevice},
        ports::{Role, StoreError},
    },
    metrics::CheckInLabel,
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/check-ins").route(web::post().to(post)));
}

#[derive(Serialize)]
struct ResultsBody<'a> {
    results: Vec<ResultBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultBody<'a> {
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody<'a>>,
    events: &'a [Event],
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<Doubt>,
    geofences: Vec<PresentBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regions: Option<RegionsBody>,
}

async fn post(
    app: web::Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    if matches!(&caller.identity, Identity::Key(Role::Viewer)) {
        caller.require(Role::Marketer)?;
    }
    let kind = body::content_type(&request);
    let lines = match kind.as_str() {
        "" | "application/json" => false,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => true,
        other => {
            let detail = format!("`{other}` is not taken here; send application/json or application/x-ndjson");
            return Err(Problem::new(Code::ContentTypeUnsupported, detail));
        }
    };
    let bytes = body::read(&request, payload, app.limits.body_bytes_max).await?;
    let mut unknown = UnknownFields::default();
    let door = Door {
        app: &app,
        now: app.engine.clock.now(),
    };
    let single = !lines && bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[');
    let mut items = if lines {
        door.read_lines(&bytes, &mut unknown)?
    } else if single {
        let check_in = door.read_one(&bytes, &mut unknown).map_err(|(_, problem)| problem)?;
        vec![Ok(check_in)]
    } else {
        door.read_array(&bytes, &mut unknown)?
    };
    refuse_other_devices(&caller, &mut items);
    let check_ins: Vec<CheckIn> = items.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
    let creates = if caller.has_secret_key() {
        UnknownDevice::Create
    } else {
        UnknownDevice::Refuse
    };
    let (engine, workspace) = (Arc::clone(&app.engine), caller.workspace.clone());
    let answers = to_its_end(async move { engine.check_in(&workspace, check_ins, creates).await }).await?;
    if let Some(error) = failure_of_all(&answers) {
        return Err(error.into());
    }
    let turns_away = answers.iter().any(Result::is_err);
    let (mut answers, mut unavailable) = (answers.into_iter(), None);
    let outcomes: Vec<Result<Answer, (Option<String>, Problem)>> = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let check_in = item.inspect_err(|_| app.engine.metrics.check_in(CheckInLabel::Rejected))?;
            let problem = match answers.next().unwrap_or(Ok(None)) {
                Ok(Some(answer)) if answer.status == Status::ClockAhead => door.clock_ahead(answer.at),
                Ok(Some(answer)) => return Ok(answer),
                Err(error @ EngineError::Store(StoreError::Unavailable(_))) => {
                    unavailable.get_or_insert_with(|| turned_away(error)).clone()
                }
                Err(error) => turned_away(error),
                Ok(None) => {
                    let detail = format!("device `{}` is not registered", check_in.device);
                    Problem::field(Code::DeviceUnknown, "/deviceId", detail)
                }
            };
            let problem = if single || lines {
                problem
            } else {
                problem.within(&format!("/{index}"), None)
            };
            Err((Some(check_in.id.as_str().to_owned()), problem))
        })
        .collect();
    if let (true, Some(Err((_, problem)))) = (single, outcomes.first()) {
        return Err(problem.clone());
    }
    let mut response = HttpResponse::Ok();
    unknown.warn(&mut response);
    if turns_away {
        response.insert_header(("Retry-After", RETRY_AFTER_SECONDS));
    }
    Ok(response.json(ResultsBody {
        results: outcomes.iter().map(result_body).collect(),
    }))
}

/// Why nothing at all was taken; whether that will pass counts more than what else is wrong.
fn failure_of_all(answers: &[Result<Option<Answer>, EngineError>]) -> Option<EngineError> {
    let errors: Vec<&EngineError> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    if errors.len() < answers.len() {
        return None;
    }
    let passes = |error: &&&EngineError| matches!(error, EngineError::Store(StoreError::Unavailable(_)));
    errors
        .iter()
        .find(passes)
        .or(errors.first())
        .map(|error| (*error).clone())
}

/// What an item of a larger request is told that can't be taken now, though others were.
fn turned_away(error: EngineError) -> Problem {
    Problem::from(error).with_advice(&format!(
        "send this one again after {RETRY_AFTER_SECONDS} s, under the same id"
    ))
}

/// An app reports one device: with a device token its own, with a publishable key one at a time.
fn refuse_other_devices(caller: &Caller, items: &mut [Item]) {
    let own = match &caller.identity {
        Identity::Key(Role::Publishable) => items.iter().flatten().next().map(|first| first.device.clone()),
        Identity::Device(device) => Some(device.clone()),
        Identity::Key(_) => None,
    };
    let Some(own) = own else { return };
    for item in items {
        if let Ok(check_in) = item
            && check_in.device != own
        {
            let detail = format!("this key reports device `{own}` only; several devices need a secret key");
            let problem = Problem::field(Code::DeviceNotAllowed, "/deviceId", detail);
            *item = Err((Some(check_in.id.as_str().to_owned()), problem));
        }
    }
}

fn result_body(outcome: &Result<Answer, (Option<String>, Problem)>) -> ResultBody<'_> {
    match outcome {
        Err((id, problem)) => ResultBody {
            id: id.as_deref(),
            at: None,
            status: "rejected",
            problem: Some(problem.body()),
            events: &[],
            doubt: None,
            geofences: Vec::new(),
            content: None,
            regions: None,
        },
        Ok(answer) => ResultBody {
            id: Some(answer.id.as_str()),
            at: Some(answer.at),
            status: match answer.status {
                Status::Processed => "processed",
                Status::Duplicate => "duplicate",
                Status::Late => "late",
                Status::Ignored | Status::ClockAhead | Status::NotHere => "ignored",
            },
            problem: None,
            events: &answer.events,
            doubt: answer.doubt,
            geofences: answer.geofences.iter().map(PresentBody::from).collect(),
            content: answer.events.iter().rev().find_map(Event::document),
            regions: answer.regions.as_ref().map(RegionsBody::from),
        },
    }
}
