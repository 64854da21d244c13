//! The queries, for people: `rosey stats`, `rosey recent`.

use super::args::{Global, RecentArgs, StatsArgs};
use super::console::{self, show};
use super::exit::{Exit, Failure};
use super::paths::Paths;
use super::shown::{clean, time};
use crate::op::{ChannelStats, Chatter, Line, Peak, RecentChat, RoseyClient, SearchChat, UserStats};
use eitherway::operation::Kind;

pub(super) async fn stats(global: &Global, args: StatsArgs) -> Result<Exit, Failure> {
    let paths = Paths::open_for_one(&args.paths.asking(), Kind::Query).await?;
    let shown = match &args.user {
        Some(user) => paths.db.user_stats(user).await.map(|stats| match stats {
            Some(stats) => show(global, &stats, user_text),
            None => show(global, &serde_json::json!({"username": user, "found": false}), |_| {
                format!("{} was never seen here", clean(user))
            }),
        }),
        None => paths.db.channel_stats().await.map(|stats| show(global, &stats, channel_text)),
    };
    paths.close().await;
    shown?;
    Ok(Exit::Ok)
}

pub(super) async fn recent(global: &Global, args: RecentArgs) -> Result<Exit, Failure> {
    let paths = Paths::open_for_one(&args.paths.asking(), Kind::Query).await?;
    let is_search = args.user.is_some() || args.containing.is_some();
    let reply = if is_search {
        let (username, containing) = (args.user.clone(), args.containing.clone());
        let search = SearchChat { username, containing, limit: args.lines, ..SearchChat::default() };
        paths.db.call(search).await
    } else {
        paths.db.call(RecentChat { limit: args.lines }).await
    };
    paths.close().await;
    let reply = reply?;
    if reply.omitted > 0 {
        console::say(format!("{} older lines are not shown: an answer carries no more", reply.omitted));
    }
    show(global, &reply.answer, |lines: &Vec<Line>| {
        let line = |line: &Line| {
            format!("{}  <{}> {}", time(line.timestamp), clean(&line.username), clean(&line.message))
        };
        if args.lines == 0 {
            "no lines were asked for".to_owned()
        } else if lines.is_empty() && is_search {
            "there is no such line among the newest 10 000".to_owned()
        } else if lines.is_empty() {
            "nothing was said yet".to_owned()
        } else {
            lines.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    });
    Ok(Exit::Ok)
}

fn user_text(stats: &UserStats) -> String {
    let seen = |at: Option<i64>| at.map_or_else(|| "never".to_owned(), time);
    let total = stats.total_time_connected.unwrap_or(0);
    let here = match stats.current_session_start {
        Some(since) => format!("\nhere since    {}", time(since)),
        None => String::new(),
    };
    format!(
        "{}\nlines         {}\ntime here     {} h {:02} min\nfirst seen    {}\nlast seen     {}{here}",
        clean(&stats.username),
        stats.total_chat_lines.unwrap_or(0),
        total / 3600,
        total / 60 % 60,
        seen(stats.first_seen),
        seen(stats.last_seen),
    )
}

fn channel_text(stats: &ChannelStats) -> String {
    let peak = |peak: &Peak| match peak.timestamp {
        Some(at) => format!("{}  ({})", peak.users, time(at)),
        None => "none yet".to_owned(),
    };
    let mut text = format!(
        "most in the chat    {}\nmost connected      {}\nusers ever seen     {}",
        peak(&stats.high_water_mark),
        peak(&stats.high_water_connected),
        stats.total_users_seen,
    );
    for (place, chatter) in stats.top_chatters.iter().enumerate() {
        let title = if place == 0 { "top chatters" } else { "" };
        text.push_str(&format!("\n{title:<20}{}", chatter_text(chatter)));
    }
    text
}

pub(super) fn chatter_text(chatter: &Chatter) -> String {
    format!("{:<24}{:>8} lines", clean(&chatter.username), chatter.chat_lines)
}
