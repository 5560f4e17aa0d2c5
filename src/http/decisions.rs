//! `/v1/decisions`: what was decided about a customer, campaign by campaign, and what became of it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    App,
    auth::Caller,
    pages, parameter,
    problem::{Code, Problem},
    query, resource,
    users::known,
};
use crate::{
    domain::{
        delivery::Suppression,
        event::{Fact, Verdict},
        ids::{CampaignId, DeliveryId, ExternalId, GeofenceId, SubjectId, Tag, UserId, WorkspaceId},
    },
    engine::ports::{FactCursor, Role, StoreError},
};

/// Most decisions of a page: each may need a look at its delivery.
const DECISIONS_MAX: usize = 100;
/// So many facts are read at once.
const FACTS_PAGE: usize = 500;
/// Most facts that one request looks through; the next one goes on from there.
const FACTS_MAX: usize = 5_000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/decisions").route(web::get().to(list)));
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    user_id: Option<String>,
    campaign: Option<String>,
    geofence: Option<String>,
    outcome: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// What came of a decision, or of one campaign in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// A push.
    Push,
    /// It waits.
    Waits,
    /// Nothing.
    Silent,
    /// A campaign kept silent for this reason.
    Because(Suppression),
}

impl Outcome {
    fn read(text: &str) -> Result<Self, String> {
        Ok(match text {
            "push" => Self::Push,
            "waits" => Self::Waits,
            "silent" => Self::Silent,
            reason => Self::Because(
                serde_json::from_value(json!(reason))
                    .map_err(|_| "is none of push, waits, silent, and no reason such as audience or cap".to_owned())?,
            ),
        })
    }

    fn is_of(self, verdict: &Verdict, is_pushed: bool) -> bool {
        let speaks = verdict.suppressed.is_none() && verdict.waits_until.is_none();
        match self {
            Self::Push => speaks && is_pushed,
            Self::Waits => verdict.waits_until.is_some(),
            Self::Silent => verdict.suppressed.is_some(),
            Self::Because(reason) => verdict.suppressed == Some(reason),
        }
    }
}

/// Reads `TAG/EXTERNAL-ID`; the external id may contain slashes.
fn read_geofence(text: &str) -> Result<GeofenceId, String> {
    let (tag, external_id) = text.split_once('/').ok_or("must be TAG/EXTERNAL-ID")?;
    Ok(GeofenceId {
        tag: Tag::new(tag).map_err(|error| error.to_string())?,
        external_id: ExternalId::new(external_id).map_err(|error| error.to_string())?,
    })
}

/// Which decisions are wanted.
struct Filter {
    campaign: Option<CampaignId>,
    geofence: Option<GeofenceId>,
    outcome: Option<Outcome>,
}

impl Filter {
    /// Whether the decision is wanted: a campaign is asked about alone, and all of them together come to one thing.
    fn takes(&self, verdicts: &[Verdict], place: Option<&GeofenceId>, is_pushed: bool) -> bool {
        if self.geofence.is_some() && self.geofence.as_ref() != place {
            return false;
        }
        let mut of_campaign = verdicts
            .iter()
            .filter(|verdict| self.campaign.as_ref().is_none_or(|id| *id == verdict.campaign))
            .peekable();
        if self.campaign.is_some() && of_campaign.peek().is_none() {
            return false;
        }
        match self.outcome {
            None => true,
            Some(Outcome::Silent) if self.campaign.is_none() => {
                !is_pushed && of_campaign.all(|verdict| Outcome::Silent.is_of(verdict, is_pushed))
            }
            Some(outcome) => of_campaign.any(|verdict| outcome.is_of(verdict, is_pushed)),
        }
    }
}

/// What became of the push; null when there is none any more.
async fn delivery_body(app: &App, workspace: &WorkspaceId, id: DeliveryId) -> Result<Value, StoreError> {
    let row = app.engine.store.hot.delivery(workspace, id).await?;
    Ok(row.map_or_else(
        || json!({"id": id, "state": null}),
        |row| {
            json!({
                "id": id, "state": row.state, "reason": row.reason, "attempts": row.attempts, "endedAt": row.ended_at,
            })
        },
    ))
}

async fn list(app: web::Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Problem> {
    caller.require(Role::Viewer)?;
    let wanted: ListQuery = query(&request)?;
    let user = parameter("userId", wanted.user_id.as_deref(), UserId::new)?.ok_or_else(|| {
        let detail = "`userId`: is required, decisions are listed customer by customer; `GET /v1/deliveries` lists the \
                      pushes of all";
        Problem::new(Code::ParameterInvalid, detail)
    })?;
    let filter = Filter {
        campaign: parameter("campaign", wanted.campaign.as_deref(), CampaignId::new)?,
        geofence: parameter("geofence", wanted.geofence.as_deref(), read_geofence)?,
        outcome: parameter("outcome", wanted.outcome.as_deref(), Outcome::read)?,
    };
    let debug = known(&app, &caller, &user).await?.profile.debug;
    let limit = pages::limit(wanted.limit).min(DECISIONS_MAX);
    let subject = SubjectId::User(user);
    let (hot, workspace) = (&app.engine.store.hot, &caller.workspace);
    let mut before = wanted.cursor.map(FactCursor::new);
    let (mut items, mut looked_at, mut has_more) = (Vec::new(), 0, true);
    while has_more && items.len() < limit && looked_at < FACTS_MAX {
        let page = hot.facts_of(workspace, &subject, before.as_ref(), FACTS_PAGE).await?;
        looked_at += FACTS_PAGE;
        has_more = page.is_full;
        let mut reached = page.upto;
        for (place, fact) in page.facts {
            let Fact::Decision {
                event,
                trigger,
                geofence,
                event_type,
                at,
                verdicts,
                delivery,
            } = fact
            else {
                continue;
            };
            if !filter.takes(&verdicts, geofence.as_ref(), delivery.is_some()) {
                continue;
            }
            let delivery = match delivery {
                None => Value::Null,
                Some(id) => delivery_body(&app, workspace, id).await?,
            };
            items.push(json!({
                "eventId": event, "at": at, "trigger": trigger, "geofence": geofence, "eventType": event_type,
                "verdicts": verdicts, "delivery": delivery,
            }));
            if items.len() == limit {
                // The next page goes on right after the last one of this.
                reached = Some(place);
                has_more = true;
                break;
            }
        }
        before = reached;
    }
    let next = before.as_ref().filter(|_| has_more).map(FactCursor::as_str);
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": next, "debug": debug})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(campaign: &str, suppressed: Option<Suppression>) -> Verdict {
        Verdict {
            campaign: CampaignId::new(campaign).expect("an id"),
            version: 1,
            suppressed,
            outranked_by: None,
            waits_until: None,
            waits_for: None,
            trace: Vec::new(),
        }
    }

    #[test]
    fn decisions_are_found_by_campaign_place_and_outcome() {
        let verdicts = [verdict("a", None), verdict("b", Some(Suppression::Cap))];
        let place = read_geofence("shop/one/two").expect("a place");
        let takes = |campaign: Option<&str>, geofence: Option<&str>, outcome: Option<&str>, is_pushed| {
            let filter = Filter {
                campaign: campaign.map(|id| CampaignId::new(id).expect("an id")),
                geofence: geofence.map(|text| read_geofence(text).expect("a place")),
                outcome: outcome.map(|text| Outcome::read(text).expect("an outcome")),
            };
            filter.takes(&verdicts, Some(&place), is_pushed)
        };
        assert!(takes(None, None, None, true));
        assert!(takes(Some("b"), Some("shop/one/two"), Some("cap"), true));
        assert!(takes(Some("b"), None, Some("silent"), true), "that campaign was");
        assert!(!takes(None, None, Some("silent"), true), "another one spoke");
        assert!(takes(Some("a"), None, Some("push"), true));
        assert!(!takes(Some("b"), None, Some("push"), true));
        assert!(!takes(None, Some("shop/one"), None, true));
        assert!(!takes(Some("c"), None, None, true));
        assert!(!takes(Some("a"), None, Some("cap"), true));
        assert!(read_geofence("shop").is_err() && Outcome::read("cup").is_err());
    }
}
