//! What people of the channel ask the bot, for operators: `rosey seen`, `rosey leaderboard`, `rosey quote`, `rosey inbox`, `rosey tell`, `rosey forget`.

use super::args::{ForgetArgs, Global, InboxArgs, LeaderboardArgs, QuoteArgs, SeenArgs, TellArgs};
use super::confirm;
use super::console::show;
use super::exit::{Exit, Failure};
use super::paths::Paths;
use super::query::chatter_text;
use super::shown::{clean, time};
use crate::op::{Chatter, GetQuote, GetTells, Quote, QuoteAdd, RoseyClient, Seen, Tell, WaitingTell};
use eitherway::clock;
use eitherway::operation::Kind;

pub(super) async fn seen(global: &Global, args: SeenArgs) -> Result<Exit, Failure> {
    let paths = Paths::open_for_one(&args.paths.asking(), Kind::Query).await?;
    let seen = paths.db.seen(&args.user).await;
    paths.close().await;
    match seen? {
        Some(seen) => show(global, &seen, seen_text),
        None => show(global, &serde_json::json!({"username": args.user, "found": false}), |_| {
            format!("{} was never seen here", clean(&args.user))
        }),
    }
    Ok(Exit::Ok)
}

fn seen_text(seen: &Seen) -> String {
    let at = |at: Option<i64>| at.map_or_else(|| "never".to_owned(), time);
    let here = match seen.here_since {
        Some(since) => format!("\nhere since    {}", time(since)),
        None => String::new(),
    };
    let (first, last, line) = (at(seen.first_seen), at(seen.last_seen), at(seen.last_line));
    format!(
        "{}\nfirst seen    {first}\nlast seen     {last}\nlast line     {line}{here}",
        clean(&seen.username)
    )
}

pub(super) async fn leaderboard(global: &Global, args: LeaderboardArgs) -> Result<Exit, Failure> {
    let paths = Paths::open_for_one(&args.paths.asking(), Kind::Query).await?;
    let chatters = match args.hours {
        Some(hours) => {
            let since = clock::seconds(clock::now()) - i64::from(hours) * 3600;
            paths.db.leaderboard(u32::try_from(since).unwrap_or_default(), 10).await
        }
        None => paths.db.channel_stats().await.map(|stats| stats.top_chatters),
    };
    paths.close().await;
    show(global, &chatters?, |chatters: &Vec<Chatter>| {
        let places = chatters.iter().enumerate();
        let lines: Vec<_> =
            places.map(|(n, chatter)| format!("{:>2}  {}", n + 1, chatter_text(chatter))).collect();
        if lines.is_empty() { "nothing was said yet".to_owned() } else { lines.join("\n") }
    });
    Ok(Exit::Ok)
}

pub(super) async fn quote(global: &Global, args: QuoteArgs) -> Result<Exit, Failure> {
    if let (Some(message), Some(username)) = (args.add, &args.which) {
        let paths = Paths::open_for_one(&args.paths, Kind::Call).await?;
        let quote = QuoteAdd { username: username.clone(), message, added_by: None };
        let id = paths.db.quote_add(quote).await;
        paths.close().await;
        let id = id?;
        show(global, &serde_json::json!({"id": id}), |_| format!("quote {id} is kept"));
        return Ok(Exit::Ok);
    }
    let number = args.which.as_deref().map(|which| which.trim_start_matches('#').parse());
    let which = match (number, args.which) {
        (Some(Ok(id)), _) => GetQuote { id: Some(id), ..GetQuote::default() },
        (_, username) => GetQuote { username, place: any_place(), ..GetQuote::default() },
    };
    let paths = Paths::open_for_one(&args.paths.asking(), Kind::Query).await?;
    let quote = paths.db.quote(which).await;
    paths.close().await;
    show(global, &quote?, |quote: &Option<Quote>| match quote {
        Some(quote) => {
            format!(
                "#{}  <{}> {}  ({})",
                quote.id,
                clean(&quote.username),
                clean(&quote.message),
                time(quote.timestamp)
            )
        }
        None => "there is no such quote".to_owned(),
    });
    Ok(Exit::Ok)
}

/// Another one at each call.
fn any_place() -> u32 {
    let millis = u64::try_from(clock::now()).unwrap_or_default();
    (millis.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as u32
}

pub(super) async fn inbox(global: &Global, args: InboxArgs) -> Result<Exit, Failure> {
    let paths = Paths::open_for_one(&args.paths.asking(), Kind::Query).await?;
    let reply = paths.db.call(GetTells { sender: args.from, username: args.user, limit: 100 }).await;
    paths.close().await;
    show(global, &reply?.answer, |tells: &Vec<WaitingTell>| {
        let line = |tell: &WaitingTell| {
            let (sender, username) = (clean(&tell.sender), clean(&tell.username));
            format!(
                "#{}  {}  {sender} to {username}: {}",
                tell.id,
                time(tell.timestamp),
                clean(&tell.content)
            )
        };
        if tells.is_empty() {
            "no message of a user waits; those of `rosey tell` without --from are not listed here".to_owned()
        } else {
            tells.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    });
    Ok(Exit::Ok)
}

pub(super) async fn tell(global: &Global, args: TellArgs) -> Result<Exit, Failure> {
    let (user, text) = match (args.channel, args.words.as_slice()) {
        (true, [text]) => (None, text),
        (false, [user, text]) => (Some(user.as_str()), text),
        (true, _) => {
            return Err(Failure::new(
                Exit::Usage,
                "with --channel, say the message alone: rosey tell --channel TEXT",
            ));
        }
        (false, _) => return Err(Failure::new(Exit::Usage, "say for whom, and what: rosey tell USER TEXT")),
    };
    let paths = Paths::open_for_one(&args.paths, Kind::Call).await?;
    let id = match (args.from, user) {
        (Some(sender), Some(user)) => {
            let (username, content) = (user.to_owned(), text.clone());
            paths.db.tell(Tell { sender, username, content, privately: !args.aloud }).await
        }
        _ => paths.db.outbound_enqueue(user, text).await,
    };
    paths.close().await;
    let id = id?;
    show(global, &serde_json::json!({"id": id}), |_| match user {
        Some(user) => format!("message {id} waits for {}", clean(user)),
        None => format!("message {id} waits for the channel"),
    });
    Ok(Exit::Ok)
}

pub(super) async fn forget(global: &Global, args: ForgetArgs) -> Result<Exit, Failure> {
    let what = format!("what is known of {}", clean(&args.user));
    confirm::removal(global, args.yes, &what, "is removed for good")?;
    let paths = Paths::open_for_one(&args.paths, Kind::Event).await?;
    // Under the name without upper case wait the messages that were left in the channel.
    let folded = args.user.to_lowercase();
    let names = [Some(args.user.clone()), (folded != args.user).then_some(folded)];
    let mut forgotten = Ok(());
    for name in names.into_iter().flatten() {
        forgotten = forgotten.and(paths.db.forget(name).await);
    }
    paths.close().await;
    forgotten?;
    show(global, &serde_json::json!({"username": args.user, "forgotten": true}), |_| {
        format!("{} is forgotten", clean(&args.user))
    });
    Ok(Exit::Ok)
}
