use serde_json::json;

use super::*;
use crate::support::cytube::Robot;

struct Bridged {
    nats: NatsServer,
    service: ServeProcess,
    file: DbFile,
    robot: Robot,
    bot: Bot,
}

impl Bridged {
    async fn with(users: &[&str]) -> Self {
        let (nats, file) = (NatsServer::start().await, DbFile::new());
        let service = ServeProcess::start(&nats, &file).await;
        let robot = Robot::start(&nats.url(), users).await;
        let chat = nats.url().replace("nats://", "kryten://robot@") + "/cytu.test/Lounge";
        let bot = Bot::start(&chat, &nats.url(), &file);
        bot.running.says("in Lounge as robot, by Kryten").await;
        Self { nats, service, file, robot, bot }
    }

    async fn has_lines(&self, expected: &[&str]) {
        // Lines of one millisecond may change places.
        let lines = || async { sorted(self.file.texts(LINES).await) };
        if !holds_within(crate::support::LIMIT, || async { lines().await == expected }).await {
            assert_eq!(lines().await, expected, "{}", self.bot.running.log());
        }
    }

    async fn finish(mut self) {
        assert_eq!(self.bot.running.terminate().await, Some(0), "{}", self.bot.running.log());
        let _ = self.service.terminate_and_log().await;
        self.file.assert_clean().await;
        drop(self.nats);
    }
}

#[tokio::test]
async fn what_two_robots_tell_and_tell_again_after_a_restart_is_written_once() {
    let world = Bridged::with(&["ann", "robot"]).await;
    let robot = &world.robot;
    robot.says("ann", "hello &lt;all&gt;").await;
    robot.tells_twice("addUser", json!({"name": "bob", "rank": 0, "meta": {}})).await;
    robot.says("bob", "I am new").await;
    robot.tells_twice("usercount", json!(7)).await;
    robot.tells("rank", json!(3)).await;
    robot.tells_twice("userLeave", json!({"name": "bob"})).await;
    world.has_lines(&["ann: hello <all>", "bob: I am new"]).await;
    robot.restarts().await;
    robot.says("ann", "and after the restart").await;
    world.has_lines(&["ann: and after the restart", "ann: hello <all>", "bob: I am new"]).await;
    let counted = "SELECT coalesce(sum(total_chat_lines), 0) FROM user_stats_now";
    assert_eq!(world.file.number(counted).await, 3);
    let moves = || async { world.file.texts(MOVES).await };
    let expected = ["ann +", "bob +-", "robot +"];
    if !holds_within(crate::support::LIMIT, || async { moves().await == expected }).await {
        assert_eq!(moves().await, expected, "{}", world.bot.running.log());
    }
    world.finish().await;
}

#[tokio::test]
async fn what_the_bot_says_goes_to_the_robot_and_is_marked_when_the_channel_shows_it() {
    let world = Bridged::with(&["ann", "robot"]).await;
    world.robot.says("ann", "!seen nobody").await;
    let left = "SELECT count(*) FROM outbound_messages WHERE sent = 0";
    let said = "SELECT count(*) FROM outbound_messages WHERE sent = 1";
    wait_until("the answer is said", || async { world.file.number(said).await == 1 }).await;
    let pm = json!({"username": "ann", "to": "robot", "msg": "!seen nobody", "meta": {}, "time": eitherway::clock::now()});
    world.robot.tells_twice("pm", pm).await;
    wait_until("and the private one", || async { world.file.number(said).await == 2 }).await;
    assert_eq!(world.file.number(left).await, 0, "each once, though each was asked twice");
    world.finish().await;
}

#[tokio::test]
async fn a_bus_that_does_not_take_the_credentials_ends_the_bot_with_a_sentence() {
    let bus = NatsServer::with_config("authorization { user: robot, password: secret }").await;
    let (nats, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&nats, &file).await;
    let chat = bus.url().replace("nats://", "kryten://robot@") + "/cytu.test/lounge";
    let mut bot = Bot::start(&chat, &nats.url(), &file);
    assert_eq!(bot.running.ended_by_itself().await.code(), Some(1));
    assert!(bot.running.log().contains("NATS does not take our credentials"), "{}", bot.running.log());
}
