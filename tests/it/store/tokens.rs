use beckon::{
    domain::time::Timestamp,
    engine::ports::{SharedToken, Store},
};

fn token(text: &str, made_at: i64) -> SharedToken {
    SharedToken {
        text: text.to_owned(),
        made_at: Timestamp(made_at),
    }
}

pub(super) async fn servers_agree_on_one_token_while_it_is_fresh(store: Store) {
    let share = async |name: &str, ours: SharedToken, from: i64, to: i64| {
        let fresh = Timestamp(from)..=Timestamp(to);
        store.tokens.share_token(name, ours, fresh).await.expect("a token").text
    };
    let now = 1_795_336_200_000;
    assert_eq!(share("apns:T/K", token("one", now), now - 100, now + 10).await, "one");
    let kept = share("apns:T/K", token("two", now + 50), now - 50, now + 60).await;
    assert_eq!(kept, "one", "still fresh");
    assert_eq!(
        share("apns:T/L", token("other", now), now - 100, now + 10).await,
        "other"
    );
    let kept = share("apns:T/K", token("three", now + 200), now + 1, now + 210).await;
    assert_eq!(kept, "three", "the first one is too old");
    let kept = share("apns:T/K", token("four", now), now - 100, now + 10).await;
    assert_eq!(kept, "four", "the third one is from the future");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = std::sync::Arc::clone(&store.tokens);
        tasks.spawn(async move {
            let ours = token(&number.to_string(), now + 1000 + number);
            let fresh = Timestamp(now + 1000)..=Timestamp(now + 2000);
            store.share_token("apns:T/K", ours, fresh).await.expect("a token").text
        });
    }
    let kept = tasks.join_all().await;
    assert!(kept.iter().all(|text| *text == kept[0]), "{kept:?}");
}
