use std::time::Duration;

use tokio::time::Instant;

use super::channel::Channel;
use super::history::History;
use super::message::Message;
use super::registration::{Login, Outcome, Registration};
use super::server::Server;
use crate::bot::event::{Body, Event};

const MINUTE: Duration = Duration::from_secs(60);

/// A channel that hears lines, and what it makes of them.
struct Observed {
    channel: Channel,
    now: Instant,
    events: Vec<Event>,
}

impl Observed {
    /// In `#c` as `me`, with these users.
    fn with(names: &str) -> Self {
        let mut observed = Self::outside(Server::new("irc.test"), History::default());
        observed.enters(names);
        observed
    }

    /// The same on this server, with `ann`, after these lines.
    fn of(server: Server, history: History) -> Self {
        let mut observed = Self::outside(server, history);
        observed.enters("ann!a@h me");
        observed
    }

    fn outside(server: Server, history: History) -> Self {
        let channel = Channel::new("#C", "me", server, history);
        Self { channel, now: Instant::now(), events: Vec::new() }
    }

    fn enters(&mut self, names: &str) {
        self.lines(&[":me!m@h JOIN #c", &format!(":s 353 me = #c :{names}"), ":s 366 me #c :End"]);
    }

    fn lines(&mut self, lines: &[&str]) -> &mut Self {
        for line in lines {
            let message = Message::parse(line).expect(line);
            self.events.extend(self.channel.hear(&message, self.now));
        }
        self
    }

    /// The events since the last time, briefly.
    fn take(&mut self) -> Vec<String> {
        self.events.drain(..).map(|event| brief(&event)).collect()
    }
}

fn brief(event: &Event) -> String {
    match &event.body {
        Body::Connect => "connect".to_owned(),
        Body::Disconnect { reason } => format!("disconnect {}", reason.as_deref().unwrap_or("-")),
        Body::Kicked { reason } => format!("kicked {}", reason.as_deref().unwrap_or("-")),
        Body::UserJoin { user, .. } => format!("+{user}"),
        Body::UserLeave { user } => format!("-{user}"),
        Body::Message { user, content } => format!("<{user}> {content}"),
        Body::Pm { user, content } => format!("*{user}* {content}"),
        Body::UserCount { usercount, .. } => format!("count {usercount}"),
        Body::UserList { users } => {
            let mut names: Vec<_> = users.iter().map(|user| user.username.as_str()).collect();
            names.sort_unstable();
            format!("list {}", names.join(" "))
        }
        Body::History { user, content } => format!("history <{user}> {content}"),
        Body::Error { .. } => "never".to_owned(),
    }
}

#[test]
fn who_is_there_is_told_at_once_and_who_comes_and_goes_is_told_then() {
    let mut observed = Observed::with("@ann!a@h +bob me");
    assert_eq!(observed.take(), ["connect", "list ann bob me"]);
    observed.lines(&[
        ":cid!c@h JOIN #C",
        ":bob!b@h PART #c :bye",
        ":ann!a@h KICK #c CID :out",
        ":ann!a@h QUIT :Quit: a.b c.d",
    ]);
    assert_eq!(observed.take(), ["+cid", "-bob", "-cid", "-ann"]);
    observed.lines(&[
        ":eve!e@h JOIN #other",
        ":eve!e@h PART #other",
        ":bob!b@h QUIT :again",
        ":eve!e@h PRIVMSG #other :hi",
    ]);
    assert_eq!(observed.take(), [""; 0], "other channels are not this one, and who has gone goes no more");
}

#[test]
fn a_name_is_one_person_however_it_is_written() {
    let mut observed = Observed::with("Ann[x] me");
    observed.take();
    observed.lines(&[":ann{X}!a@h PART #c", ":ann{x}!a@h JOIN #c", ":ANN[X]!a@h QUIT :bye"]);
    assert_eq!(observed.take(), ["-Ann[x]", "+ann{x}", "-ann{x}"], "who leaves is whom the room knows");
}

#[test]
fn a_new_name_is_a_leave_and_a_join_also_of_the_bot() {
    let mut observed = Observed::with("ann me");
    observed.take();
    observed.lines(&[
        ":ann!a@h NICK :anna",
        ":me!m@h NICK us",
        ":x!x@h PRIVMSG us :psst",
        ":out!o@h NICK outer",
    ]);
    assert_eq!(observed.take(), ["-ann", "+anna", "-me", "+us", "*x* psst"]);
    assert_eq!(observed.channel.me(), "us");
}

#[test]
fn those_whom_a_netsplit_took_stay_if_they_come_back_in_time() {
    let mut observed = Observed::with("ann!a@h bob!b@h cid!c@h dan!d@h me");
    observed.take();
    for nick in ["ann!a@h", "bob!b@h", "cid!c@h", "dan!d@h"] {
        observed.lines(&[&format!("@time=2020-01-01T00:00:00.000Z :{nick} QUIT :one.test two.test")]);
    }
    assert_eq!(observed.take(), [""; 0]);
    // The same one, another one of that name, one who takes the name; and one who never comes.
    observed.lines(&[":ann!a@h JOIN #c", ":bob!other@h JOIN #c", ":ann!a@h NICK cid"]);
    assert_eq!(observed.take(), ["-bob", "+bob", "-cid", "-ann", "+cid"]);
    observed.now += 9 * MINUTE;
    assert!(observed.channel.release_due(observed.now).is_empty());
    let until = observed.channel.next_release().expect("a user is waited for");
    let gone = observed.channel.release_due(until);
    assert_eq!(gone.iter().map(brief).collect::<Vec<_>>(), ["-dan"]);
    assert!(gone[0].occurred_at() <= until_now() && observed.channel.next_release().is_none());
}

fn until_now() -> i64 {
    eitherway::clock::now()
}

#[test]
fn a_quit_that_only_looks_like_a_split_is_none() {
    for reason in ["a.b c.d e.f", "a.b  c.d", "hello there", "a.b a.b", ".a b.c", "a.b c", "\"a.b c.d\"", ""]
    {
        let mut observed = Observed::with("ann me");
        observed.take();
        observed.lines(&[&format!(":ann!a@h QUIT :{reason}")]);
        assert_eq!(observed.take(), ["-ann"], "{reason}");
    }
}

#[test]
fn a_lost_channel_ends_the_waiting_and_is_told_once() {
    let mut observed = Observed::with("ann me");
    observed.lines(&[":ann!a@h QUIT :one.test two.test"]).take();
    let lost: Vec<_> = observed.channel.lose("why").iter().map(brief).collect();
    assert_eq!(lost, ["-ann", "disconnect why"]);
    assert!(observed.channel.lose("again").is_empty());
    let mut observed = Observed::with("ann me");
    observed.take();
    observed.lines(&[":ann!a@h KICK #c ME :behave"]);
    assert_eq!((observed.take(), observed.channel.inside()), (vec!["kicked behave".to_owned()], false));
}

#[test]
fn lines_of_people_are_told_and_of_servers_and_programs_are_not() {
    let mut observed = Observed::with("ann me");
    observed.take();
    observed.lines(&[
        ":ann!a@h PRIVMSG #c :\x02hi\x02 \x0304all",
        ":ann!a@h PRIVMSG #c :\x01ACTION waves\x01",
        ":ann!a@h PRIVMSG #c :\x01VERSION\x01",
        ":ann!a@h PRIVMSG me :secret",
        ":ann!a@h NOTICE #c :noted",
        ":ann!a@h PRIVMSG @#c :to those who may",
        ":one.test PRIVMSG #c :served",
        ":me!m@h PRIVMSG #c :my own echo",
    ]);
    assert_eq!(observed.take(), ["<ann> hi all", "<ann> /me waves", "*ann* secret"]);
}

#[test]
fn a_line_with_an_id_is_one_line_whatever_its_time_and_whoever_hears_it() {
    let said = |time: &str, id: &str| {
        let mut observed = Observed::with("ann me");
        observed.take();
        observed.lines(&[&format!("@time={time}{id} :ann!a@h PRIVMSG #c :hi")]);
        observed.events.remove(0)
    };
    let (one, two) =
        (said("2026-01-01T00:00:00.000Z", ";msgid=7"), said("2026-01-01T00:00:09.000Z", ";msgid=7"));
    assert_eq!(one.head("message_log").id, two.head("message_log").id);
    assert_eq!(two.occurred_at() - one.occurred_at(), 9_000);
    let other = said("2026-01-01T00:00:00.000Z", ";msgid=8");
    assert_ne!(one.head("message_log").id, other.head("message_log").id);
    assert!(!said("2026-01-01T00:00:00.000Z", "").is_identified());
    assert!(
        said("2999-01-01T00:00:00.000Z", "").occurred_at() <= until_now(),
        "a clock ahead is not believed"
    );
}

#[test]
fn a_move_is_never_before_the_one_that_was_told_before() {
    let mut observed = Observed::with("me");
    let at = observed.events.last().expect("a list").occurred_at();
    observed.take();
    observed.lines(&["@time=2020-01-01T00:00:00.000Z :ann!a@h JOIN #c"]);
    assert!(observed.events[0].occurred_at() >= at);
}

#[test]
fn a_server_whose_clock_is_behind_does_not_put_our_entry_before_our_last_loss() {
    let before = eitherway::clock::issue();
    let mut observed = Observed::outside(Server::new("irc.test"), History::default());
    let near = eitherway::clock::rfc3339(before - 5_000);
    observed.lines(&[
        &format!("@time={near} :me!m@h JOIN #c"),
        &format!("@time={near} :s 353 me = #c :ann me"),
        &format!("@time={near} :s 366 me #c :End"),
        "@time=1970-01-01T00:00:02.000Z :ann!a@h PART #c",
    ]);
    assert_eq!(observed.events.len(), 3);
    assert!(observed.events.iter().all(|event| event.occurred_at() >= before), "{:?}", observed.events);
}

#[test]
fn a_list_that_was_not_asked_for_and_names_that_no_server_has_are_not_believed() {
    let mut observed = Observed::with("ann me");
    observed.take();
    let long = "x".repeat(300);
    observed.lines(&[
        ":s 353 me = #c :bob me",
        ":s 366 me #c :End",
        &format!(":{long}!b@h JOIN #c"),
        &format!(":ann!a@h NICK {long}"),
        &format!(":ann!a@h CHGHOST a {long}"),
    ]);
    assert!(observed.events.is_empty(), "{:?}", observed.events);
}

#[test]
fn the_most_that_there_were_is_told_with_the_number_that_there_are() {
    let mut observed = Observed::with("ann me");
    assert_eq!(observed.channel.count().iter().map(brief).collect::<Vec<_>>(), ["count 2"]);
    assert!(!observed.channel.has_news());
    observed.lines(&[":bob!b@h JOIN #c", ":cid!c@h JOIN #c", ":cid!c@h PART #c", ":bob!b@h PART #c"]);
    assert!(observed.channel.has_news());
    assert_eq!(observed.channel.count().iter().map(brief).collect::<Vec<_>>(), ["count 4", "count 2"]);
    assert!(!observed.channel.has_news());
}

/// What a client says to these lines, and how it ends.
fn registers(login: Option<Login>, lines: &[&str]) -> (Vec<String>, Option<Outcome>, String) {
    let mut registration = Registration::new("irc.test", "rosey", login, true);
    let mut said = Vec::new();
    for line in lines {
        let (answer, outcome) = registration.hear(&Message::parse(line).expect(line));
        said.extend(answer);
        if outcome.is_some() {
            return (said, outcome, registration.nick().to_owned());
        }
    }
    (said, None, registration.nick().to_owned())
}

fn login() -> Option<Login> {
    Some(Login { account: "rosey".to_owned(), password: "secret".to_owned() })
}

#[test]
fn what_a_server_offers_is_taken_and_the_password_goes_to_one_that_asks() {
    let (said, outcome, nick) = registers(
        login(),
        &[
            "CAP * LS * :server-time sasl=EXTERNAL,PLAIN away-notify",
            "CAP * LS :message-tags batch sts=port=6697",
            "CAP rosey ACK :server-time sasl message-tags",
            "AUTHENTICATE +",
            ":s 903 rosey :ok",
            ":s 001 rosey :Welcome",
            ":s 005 rosey NETWORK=Net CASEMAPPING=ascii BOT=B :are supported",
            ":s 376 rosey :End",
        ],
    );
    let password = "AUTHENTICATE AHJvc2V5AHNlY3JldA==";
    let expected = [
        "CAP REQ :server-time sasl message-tags batch",
        "AUTHENTICATE PLAIN",
        password,
        "CAP END",
        "MODE rosey +B",
    ];
    assert_eq!(
        (said, outcome, nick.as_str()),
        (expected.map(str::to_owned).to_vec(), Some(Outcome::Done), "rosey")
    );
    let (said, ..) = registers(None, &["CAP * LS :sasl", ":s 422 x :none"]);
    assert_eq!(said, ["CAP END"]);
}

#[test]
fn a_taken_name_has_others_and_none_is_longer_than_servers_allow() {
    let taken = [":s 433 * x :in use"; 12];
    let (said, _, nick) = registers(None, &taken);
    assert_eq!(said[..3], ["NICK rosey_", "NICK rosey__", "NICK rosey3"]);
    assert!(said.iter().all(|line| line.len() <= "NICK ".len() + 9), "{said:?}");
    assert_eq!(nick, "rosey12");
    let (_, outcome, _) = registers(None, &[":s 433 * x :in use"; 30]);
    assert!(matches!(outcome, Some(Outcome::Lost(_))), "that passes");
}

#[test]
fn what_will_be_refused_again_is_final_and_says_why() {
    let refused = |login, lines: &[&str]| match registers(login, lines).1 {
        Some(Outcome::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert!(
        refused(login(), &[":s 904 rosey :SASL failed"]).contains("account or its password: SASL failed")
    );
    let none = registers(login(), &["CAP * LS :server-time", ":s 376 rosey :End"]).1;
    assert!(matches!(none, Some(Outcome::NoLogin(reason)) if reason.contains("SASL PLAIN")));
    let aborted = registers(login(), &[":s 906 rosey :SASL aborted"]).1;
    assert!(matches!(aborted, Some(Outcome::Lost(_))), "the services may come back");
    assert!(refused(None, &[":s 432 * rosey :Erroneous"]).contains("nickname `rosey`"));
    assert!(refused(None, &[":s 465 * :You are banned"]).contains("banned"));
    let lost = registers(None, &["ERROR :Closing link (throttled)"]).1;
    assert_eq!(lost, Some(Outcome::Lost("Closing link (throttled)".to_owned())));
}

#[test]
fn a_server_that_wants_encryption_is_told_nothing_over_a_connection_without() {
    let hears = |line: &str, encrypted: bool| {
        let mut registration = Registration::new("irc.test", "rosey", login(), encrypted);
        registration.hear(&Message::parse(line).expect(line))
    };
    let wants = |line: &str| hears(line, false);
    for line in ["CAP * LS :sasl sts=port=6697", "CAP * LS * :sts=duration=60,port=6697,preload sasl"] {
        assert_eq!(wants(line), (Vec::new(), Some(Outcome::Encrypt(6697))), "{line}");
        assert_eq!(hears(line, true).1, None, "it is encrypted: {line}");
    }
    for line in
        ["CAP * LS :sts=duration=60", "CAP * LS :sts=port=0", "CAP * LS :sts sasl", "CAP * ACK :sts=port=1"]
    {
        assert_eq!(wants(line).1, None, "{line}");
    }
}

#[test]
fn what_a_server_repeats_is_history_and_what_was_missed_is_asked_for_page_by_page() {
    let server = Server { keeps_lines: true, ..Server::new("irc.test") };
    let mut observed = Observed::of(server.clone(), History::default());
    assert_eq!(observed.channel.question(), None, "nothing is known yet of when the last line was");
    observed.lines(&["@time=2026-01-01T12:00:00.500Z;msgid=a :ann!a@h PRIVMSG #c :hello"]);
    let newest = observed.channel.newest_line();
    let mut observed = Observed::of(server, History::after(newest));
    let since = |time: &str| Some(format!("CHATHISTORY AFTER #C timestamp=2026-01-01T{time}Z 200"));
    assert_eq!(observed.channel.question(), since("12:00:00.500"));
    assert_eq!(observed.channel.question(), None, "once");
    observed.take();
    let repeated = |n: usize| {
        format!(
            "@batch=x;time=2026-01-01T12:0{}:00.000Z;msgid=m{n} :ann!a@h PRIVMSG #c :line {n}",
            1 + n / 100
        )
    };
    let lines: Vec<String> = (0..200).map(repeated).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    observed.lines(&["BATCH +x chathistory #c"]).lines(&lines);
    observed.lines(&[
        ":bob!b@h PRIVMSG #c :new",
        "@batch=y :bob!b@h PRIVMSG #c :of a batch of another kind",
        "BATCH -x",
    ]);
    let told = observed.take();
    assert_eq!((told[0].as_str(), told[199].as_str()), ("history <ann> line 0", "history <ann> line 199"));
    assert_eq!(told[200..], ["<bob> new", "<bob> of a batch of another kind"]);
    assert_eq!(observed.channel.question(), since("12:02:00.000"), "there may be more");
    observed.lines(&[
        "BATCH +z chathistory #c",
        "@batch=z;time=2026-01-01T13:00:00.000Z;msgid=n :ann!a@h PRIVMSG #c :the last",
        "@batch=z;time=2026-01-01T13:00:01.000Z :ann!a@h PRIVMSG #c :without an id it may be here already",
        "@batch=z;msgid=o :ann!a@h PRIVMSG me :no",
        "@batch=z :eve!e@h JOIN #c",
        "BATCH -z",
        ":ann!a@h PRIVMSG #c :now",
    ]);
    assert_eq!(observed.take(), ["history <ann> the last", "<ann> now"]);
    assert_eq!(observed.channel.question(), None);
}

#[test]
fn a_server_that_repeats_without_end_is_not_asked_for_ever() {
    let server = Server { keeps_lines: true, ..Server::new("irc.test") };
    let mut observed = Observed::of(server, History::after(Some(0)));
    let page: Vec<String> =
        (0..200).map(|n| format!("@batch=x;msgid=m{n} :ann!a@h PRIVMSG #c :more")).collect();
    let page: Vec<&str> = page.iter().map(String::as_str).collect();
    let mut asked = 0;
    while observed.channel.question().is_some() {
        asked += 1;
        observed.lines(&["BATCH +x chathistory #c"]).lines(&page).lines(&["BATCH -x"]);
    }
    assert_eq!(asked, 50);
}
