//! How polygons are drawn: what crosses itself, holes outside, what had to be cut.

use super::Tallies;
use crate::{
    files::{Finding, FindingCode, Severity, collect::Place},
    geo::{
        Cut, Polygons,
        validity::{Effort, Intersection, Meeting, TooTangled, hole_outside, self_intersection},
    },
};

/// Looks at each polygon by itself; `effort` is for all polygons of the file.
pub(super) fn look(tallies: &mut Tallies, place: &Place, polygons: &Polygons, effort: &mut Effort) {
    if let Some(cut) = polygons.was_cut() {
        let finding = cut_finding(cut);
        tallies.add(finding.code, place, || finding);
    }
    for rings in polygons.coordinates() {
        let rings: Vec<&[[f64; 2]]> = rings.collect();
        match self_intersection(&rings, effort) {
            Ok(None) => {}
            Ok(Some(intersection)) => {
                let finding = intersection_finding(&intersection);
                tallies.add(finding.code, place, || finding);
            }
            Err(error) => tallies.add(FindingCode::ChecksSkipped, place, || skipped("crossings", error)),
        }
        match hole_outside(&rings, effort) {
            Ok(None) => {}
            Ok(Some(hole)) => tallies.add(FindingCode::HoleOutside, place, || {
                let [longitude, latitude] = rings[hole].first().copied().unwrap_or_default();
                Finding::new(
                    Severity::Warning,
                    FindingCode::HoleOutside,
                    format!(
                        "hole {hole}, which begins at longitude {longitude}, latitude {latitude}, is not wholly within \
                         its outline"
                    ),
                    "draw the hole again; if it should be a place, make a feature of it",
                )
            }),
            Err(error) => tallies.add(FindingCode::ChecksSkipped, place, || skipped("holes outside", error)),
        }
    }
}

fn skipped(check: &str, error: TooTangled) -> Finding {
    Finding::new(
        Severity::Note,
        FindingCode::ChecksSkipped,
        format!("the outline was not checked for {check}: {error}"),
        "simplify the outline",
    )
}

fn cut_finding(cut: Cut) -> Finding {
    let (code, detail, hint) = match cut {
        Cut::CrossesAntimeridian => (
            FindingCode::AntimeridianCrossed,
            "the polygon crosses the antimeridian; it was cut in pieces there",
            "nothing to do, if it lies in the Pacific; else check its longitudes",
        ),
        Cut::EnclosesPole => (
            FindingCode::PoleEnclosed,
            "the polygon goes round a pole, which is taken to be inside",
            "nothing to do, if it lies round a pole; else check its longitudes",
        ),
    };
    Finding::new(Severity::Note, code, detail, hint)
}

fn intersection_finding(intersection: &Intersection) -> Finding {
    let [longitude, latitude] = intersection.at;
    let at = format!("near longitude {longitude:.6}, latitude {latitude:.6}");
    let (severity, code, detail, hint) = match intersection.meeting {
        Meeting::Cross => (
            Severity::Warning,
            FindingCode::RingSelfIntersects,
            format!("the outline crosses itself {at}"),
            "draw it again there: what it goes round an even number of times is outside",
        ),
        Meeting::Overlap => (
            Severity::Warning,
            FindingCode::RingSelfIntersects,
            format!("the outline runs along itself {at}"),
            "draw it again there: what it goes round an even number of times is outside",
        ),
        Meeting::Touch => (
            Severity::Note,
            FindingCode::RingTouchesItself,
            format!("the outline touches itself {at}"),
            "nothing to do: it changes nothing about what is inside",
        ),
    };
    Finding::new(severity, code, detail, hint)
}
