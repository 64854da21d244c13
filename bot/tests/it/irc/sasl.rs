//! The login of the bot on a real server: SASL PLAIN over TLS, with the services that know the accounts.

use super::*;
use crate::support::irc::Services;
use crate::support::program::outcome;

/// A server with TLS, and whatever the bot needs to reach it.
struct Site {
    irc: IrcServer,
    nats: NatsServer,
    _service: ServeProcess,
    file: DbFile,
}

impl Site {
    async fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let irc = IrcServer::inspircd_with_login(&made.cert.pem(), &made.signing_key.serialize_pem()).await;
        let (nats, file) = (NatsServer::start().await, DbFile::new());
        let service = ServeProcess::start(&nats, &file).await;
        std::fs::write(file.dir().join("ca.pem"), made.cert.pem()).unwrap();
        let site = Self { irc, nats, _service: service, file };
        site.password_is("first-one");
        site
    }

    /// What stands in the file.
    fn password_is(&self, password: &str) {
        std::fs::write(self.file.dir().join("password"), format!("{password}\n")).unwrap();
    }

    /// A bot that logs in as `me`.
    fn bot(&self) -> Bot {
        let dir = self.file.dir().display();
        let port = self.irc.tls();
        let options = format!("account=me&sasl={dir}/password&ca={dir}/ca.pem");
        self.bot_at(&format!("irc+tls://rosey@localhost:{port}/#lounge?{options}"))
    }

    fn bot_at(&self, chat: &str) -> Bot {
        Bot::start(chat, &self.nats.url(), &self.file)
    }
}

/// How a bot ends that is not let in: with a sentence, and not again.
async fn refused(mut bot: Bot, sentence: &str) {
    let ended = || async { bot.running.log().contains("input lost: ") };
    assert!(holds_within(crate::support::LIMIT, ended).await, "{}", bot.running.log());
    assert_eq!(bot.running.ended_by_itself().await.code(), Some(1), "{}", bot.running.log());
    let log = bot.running.log();
    assert!(log.contains(sentence) && !log.contains("trying again"), "{log}");
    assert!(!log.contains("first-one") && !log.contains("other-one"), "no password is told: {log}");
}

#[tokio::test]
async fn the_right_password_logs_in_over_tls_and_the_wrong_one_is_final() {
    let site = Site::new().await;
    let services = Services::link(&site.irc).await;
    services.accepts("me", "first-one");
    let mut bot = site.bot();
    bot.running.says("in #lounge as rosey").await;
    assert_eq!(services.tried(), ["me first-one"]);
    assert_eq!(bot.running.terminate().await, Some(0), "{}", bot.running.log());
    site.password_is("other-one");
    refused(site.bot(), "the server does not take the account or its password").await;
    assert_eq!(services.tried(), ["me first-one", "me other-one"]);
}

#[tokio::test]
async fn a_server_that_has_never_offered_a_login_is_left_for_good() {
    let site = Site::new().await;
    refused(site.bot(), "the server offers no login with a password (SASL PLAIN)").await;
}

#[test]
fn a_password_goes_to_another_machine_over_tls_alone() {
    let dir = tempfile::tempdir().unwrap();
    let chat = |scheme: &str| format!("{scheme}://rosey@irc.example.org/#lounge?sasl=nowhere");
    let config = |chat: String| outcome(rosey(dir.path()).args(["config", "bot", "--chat", &chat]));
    let (code, text) = config(chat("irc"));
    assert!(code == Some(2) && text.contains("a password goes over irc+tls alone"), "{text}");
    let (code, text) = config(chat("irc+tls"));
    assert_eq!(code, Some(0), "{text}");
}

#[tokio::test]
async fn a_login_that_was_there_is_waited_for_and_the_password_is_read_again() {
    let mut site = Site::new().await;
    let services = Services::link(&site.irc).await;
    services.accepts("me", "first-one");
    let mut bot = site.bot();
    bot.running.says("in #lounge as rosey").await;

    // The server comes back before its services do, and the password is another one meanwhile.
    site.irc.restart().await;
    bot.running.says("the server offers no login with a password (SASL PLAIN); trying again").await;
    assert!(bot.running.runs(), "{}", bot.running.log());
    site.password_is("new");
    drop(services);
    let services = Services::link(&site.irc).await;
    services.accepts("me", "new");
    bot.running.says_times("in #lounge as rosey", 2).await;
    assert_eq!(services.tried(), ["me new"]);
    assert_eq!(bot.running.terminate().await, Some(0), "{}", bot.running.log());
}
