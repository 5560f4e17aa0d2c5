//! Figures against counting by hand, and what they weigh.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::{
    ids::{BrandId, CampaignId, Category, ExternalId, Product, SetName, Tag},
    json_reader::Node,
};

const DAY: i64 = 24 * 3600 * 1000;
/// 2026-11-22T00:00:00Z
const NOW: Timestamp = Timestamp(1_795_305_600_000);

fn place(tag: &str, id: &str, brand: Option<&str>) -> Place {
    Place {
        tag: Tag::new(tag).expect("a tag"),
        set: SetName::new("airport").expect("a name"),
        brand: brand.map(|brand| BrandId::new(brand).expect("an id")),
        external_id: ExternalId::new(id).expect("an id"),
    }
}

fn purchase(data: &Value) -> Purchase {
    Purchase::read(&Node::root(data)).expect("a purchase")
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp(NOW.0 - days * DAY)
}

fn last(days: i64) -> Span {
    Span {
        after: days_ago(days),
        until: NOW,
    }
}

fn visits(figures: &Figures, span: Span) -> usize {
    figures.visits.iter().map(|(_, times)| times.count(span)).sum()
}

/// Somebody who comes by now and then: a year of a café, an airport and a shop.
fn usual_customer() -> Figures {
    let mut figures = Figures::default();
    for visit in 0..60 {
        let cafe = format!("cafe-{}", visit % 5);
        let at = Timestamp(days_ago(300).0 + visit * 5 * DAY + visit * 1_234_567);
        figures.note_visit(place("cafe", &cafe, Some("blue-cup")), at, NOW);
    }
    for bought in 0..30 {
        let data = json!({"product": format!("serum {}", bought % 6), "category": "skincare", "amount": 39.9, "currency": "EUR"});
        figures.note_purchase(purchase(&data), Timestamp(days_ago(300).0 + bought * 10 * DAY), NOW);
    }
    for reaction in 0..10 {
        let reacted = Reacted {
            campaign: CampaignId::new(format!("cafe-welcome-{}", reaction % 3)).expect("an id"),
            answer: Answer::Opened,
        };
        figures.note_reaction(reacted, Timestamp(days_ago(200).0 + reaction * 9 * DAY), NOW);
    }
    figures
}

fn bytes(figures: &Figures) -> usize {
    postcard::to_stdvec(figures).expect("encodes").len()
}

#[test]
fn a_usual_customer_weighs_less_than_a_kilobyte() {
    let usual = bytes(&usual_customer());
    println!("60 visits of 5 places, 30 purchases of 6 products, 10 reactions: {usual} bytes");
    assert!(usual < 1000, "{usual} bytes");
    assert!(bytes(&Figures::default()) < 10);
}

#[test]
fn whatever_comes_the_figures_stay_within_their_bounds() {
    let mut figures = Figures::default();
    for number in 0..5000 {
        let at = Timestamp(days_ago(390).0 + number * DAY / 16);
        // Half of it at what one comes back to, half at ever others.
        let number = if number % 2 == 0 { number / 2 % 40 } else { number };
        figures.note_visit(place("cafe", &(number % 1000).to_string(), None), at, NOW);
        let data = json!({"product": format!("p{}", number % 1000), "category": "c", "amount": 1, "currency": "EUR"});
        figures.note_purchase(purchase(&data), at, NOW);
    }
    let kept =
        |tally: &mut dyn Iterator<Item = usize>| tally.fold((0, 0), |(keys, sum), times| (keys + 1, sum + times));
    assert_eq!(
        kept(&mut figures.visits.iter().map(|(_, times)| times.as_slice().len())),
        (200, 1000)
    );
    assert_eq!(
        kept(&mut figures.bought.iter().map(|(_, times)| times.as_slice().len())),
        (200, 500)
    );
    let spent = figures
        .spent
        .sum(Currency::parse("EUR").expect("a currency"), last(400));
    assert!((spent - 5000.0).abs() < 1e-6, "no amount is lost: {spent}");
    assert!(bytes(&figures) < 20_000, "{}", bytes(&figures));
}

#[test]
fn what_is_rare_stays_exact_beside_what_is_daily() {
    let mut figures = Figures::default();
    for day in [25, 12, 3] {
        figures.note_visit(place("cafe", "one", None), days_ago(day), NOW);
    }
    for number in 0..2000 {
        let office = format!("office-{}", number % 20);
        figures.note_visit(
            place("office", &office, None),
            Timestamp(days_ago(100).0 + number * DAY / 20),
            NOW,
        );
    }
    let cafe = figures.visits.iter().filter(|(place, _)| place.tag.as_str() == "cafe");
    assert_eq!(cafe.map(|(_, times)| times.count(last(30))).sum::<usize>(), 3);
}

#[test]
fn what_no_window_reaches_is_forgotten() {
    let mut figures = Figures::default();
    figures.note_visit(place("cafe", "one", None), days_ago(401), days_ago(401));
    figures.note_purchase(
        purchase(&json!({"amount": 5, "currency": "EUR"})),
        days_ago(401),
        days_ago(401),
    );
    assert_eq!(figures.visits.iter().count(), 1);
    figures.note_visit(place("cafe", "two", None), NOW, NOW);
    assert_eq!(figures.visits.iter().count(), 1);
    assert_eq!(
        (figures.bought.iter().count(), figures.spent.currencies().count()),
        (0, 0)
    );
}

#[test]
fn the_usual_product_is_the_most_frequent_of_the_latest_and_the_latest_of_equals() {
    let mut figures = Figures::default();
    let mut buy = |product: &str, days: i64| {
        let data = json!({"product": product, "category": "skincare"});
        figures.note_purchase(purchase(&data), days_ago(days), NOW);
        figures
            .for_templates()
            .usual
            .get("skincare")
            .map(|product| (*product).to_owned())
    };
    assert_eq!(buy("serum", 50).as_deref(), Some("serum"));
    assert_eq!(buy("cream", 40).as_deref(), Some("cream"), "the latest of equals");
    assert_eq!(buy("serum", 60).as_deref(), Some("serum"), "a late one counts, too");
    for day in 0..10 {
        buy("mask", 30 - day);
    }
    assert_eq!(buy("cream", 45).as_deref(), Some("mask"));
    // Eleven of the latest twenty: what was usual a year ago is not.
    let mut changed = None;
    for day in 0..11 {
        changed = buy("oil", 15 - day);
    }
    assert_eq!(changed.as_deref(), Some("oil"));
}

#[test]
fn a_purchase_is_refused_where_it_is_wrong() {
    let refusal = |data: &Value| Purchase::read(&Node::root(data)).expect_err("refused").to_string();
    assert_eq!(
        refusal(&json!({"items": [{}, {"amount": -1}]})),
        "/items/1/amount: must be from 0 to 1000000000"
    );
    assert_eq!(
        refusal(&json!({"amount": 1})),
        ": has an `amount`, but no `currency`, such as EUR"
    );
    assert!(refusal(&json!({"amount": 1, "currency": "euro"})).starts_with("/currency: must be three capital letters"));
    assert!(refusal(&json!({"product": ""})).starts_with("/product: must not be empty"));
    let items: Vec<Value> = (0..101).map(|_| json!({})).collect();
    assert!(refusal(&json!({"items": items})).contains("the limit is 100"));
    let sum = purchase(
        &json!({"currency": "EUR", "items": [{"product": "a", "amount": 1.5}, {"product": "b", "amount": 2}]}),
    );
    assert_eq!(
        (sum.articles.len(), sum.spent.map(|(_, amount)| amount)),
        (2, Some(3.5))
    );
}

/// Notes whatever `number` says, at a time within a year.
fn note(figures: &mut Figures, number: u8, at: Timestamp) {
    match number % 4 {
        0 | 1 => figures.note_visit(
            place(
                ["cafe", "shop"][usize::from(number % 2)],
                &(number / 16).to_string(),
                None,
            ),
            at,
            NOW,
        ),
        2 => {
            let category = Category::new("c").ok();
            let product = Product::new((number / 16).to_string()).ok();
            let articles = vec![Article { category, product }];
            let spent = Currency::parse("EUR")
                .ok()
                .map(|currency| (currency, f64::from(number)));
            figures.note_purchase(Purchase { articles, spent }, at, NOW);
        }
        _ => {
            let campaign = CampaignId::new("c").expect("an id");
            let answer = if number > 100 {
                Answer::Opened
            } else {
                Answer::Dismissed
            };
            figures.note_reaction(Reacted { campaign, answer }, at, NOW);
        }
    }
}

proptest! {
    #[test]
    fn counts_are_those_of_a_list_in_whatever_order_it_comes(
        notes in prop::collection::vec((any::<u8>(), 0..300 * DAY), 0..80), days in 1..300i64, seed in any::<u64>(),
    ) {
        let at = |age: i64| Timestamp(NOW.0 - age);
        let mut figures = Figures::default();
        for (number, age) in &notes {
            note(&mut figures, *number, at(*age));
        }
        let by_hand = notes.iter().filter(|(number, age)| number % 4 < 2 && last(days).holds(at(*age))).count();
        prop_assert_eq!(visits(&figures, last(days)), by_hand);
        let spent: f64 = notes.iter().filter(|(number, age)| number % 4 == 2 && last(days).holds(at(*age)))
            .map(|(number, _)| f64::from(*number)).sum();
        prop_assert_eq!(figures.spent.sum(Currency::parse("EUR").expect("a currency"), last(days)), spent);

        let mut shuffled = notes.clone();
        shuffled.sort_by_key(|(number, age)| (*age as u64).wrapping_mul(seed | 1) ^ u64::from(*number));
        let mut other = Figures::default();
        for (number, age) in &shuffled {
            note(&mut other, *number, at(*age));
        }
        prop_assert_eq!(&other.visits, &figures.visits);
        prop_assert_eq!(&other.bought, &figures.bought);

        let bytes = postcard::to_stdvec(&figures).expect("encodes");
        prop_assert_eq!(postcard::from_bytes::<Figures>(&bytes).expect("decodes"), figures);
    }

    #[test]
    fn what_was_taken_over_is_not_counted_again(
        mine in prop::collection::vec((any::<u8>(), 0..300 * DAY), 0..40),
        theirs in prop::collection::vec((any::<u8>(), 300 * DAY..390 * DAY), 0..40), then in 0..40usize,
    ) {
        let fold = |notes: &[(u8, i64)]| {
            let mut figures = Figures::default();
            for (number, age) in notes {
                note(&mut figures, *number, Timestamp(NOW.0 - age));
            }
            figures
        };
        let mut figures = fold(&mine);
        figures.adopt(&fold(&theirs[..then.min(theirs.len())]));
        figures.adopt(&fold(&theirs));
        let once = figures.clone();
        figures.adopt(&fold(&theirs));
        prop_assert_eq!(&figures, &once);
        let all = visits(&fold(&mine), last(400)) + visits(&fold(&theirs), last(400));
        prop_assert_eq!(visits(&figures, last(400)), all);
    }

    #[test]
    fn bytes_that_are_no_figures_are_refused_and_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(figures) = postcard::from_bytes::<Figures>(&bytes) {
            prop_assert!(visits(&figures, last(400)) <= bytes.len());
        }
    }
}
