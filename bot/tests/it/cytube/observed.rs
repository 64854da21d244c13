use super::*;

#[tokio::test]
async fn the_database_says_what_everybody_has_seen() {
    let cytube = CyTube::start().await;
    cytube.room().join("early");
    cytube.room().say("early", "before the bot came");
    let world = World::with(cytube).await;
    for n in 0..20 {
        world.cytube.room().join(&format!("guest{n}"));
    }
    for n in 0..20 {
        let (mut room, name) = (world.cytube.room(), format!("guest{n}"));
        room.say(&name, &format!("line <{n}> & (more) of 'it', see https://example.org/?a=1&b=2 🦀"));
        room.say_twice(&name, "twice");
        match n % 4 {
            0 => room.leave(&name),
            1 => {
                room.leave(&name);
                room.join(&name);
            }
            _ => {}
        }
    }
    world.agrees_on_lines().await;
    let seen = world.cytube.room().moves.clone();
    let agree = || async { world.moves().await == seen };
    if !holds_within(crate::support::LIMIT, agree).await {
        assert_eq!(world.moves().await, seen, "{}", world.bot.running.log());
    }
    let most = "SELECT count FROM high_water WHERE kind = 'chat'";
    wait_until("the most users are told", || async { world.file.number(most).await == 22 }).await;
    world.finish().await;
}

#[tokio::test]
async fn two_bots_in_one_room_write_a_line_once() {
    let world = World::with(CyTube::start().await).await;
    let mut second = Bot::start(&world.cytube.chat("rosey2"), &world.nats.url(), &world.file);
    second.running.says("in lounge as rosey2").await;
    world.cytube.room().join("ann");
    for n in 0..20 {
        world.cytube.room().say("ann", &format!("line {}", n / 2));
        world.cytube.room().say_twice("ann", "twice");
    }
    world.cytube.room().say("ann", "!seen nobody");
    // When both have told of somebody who comes after the lines, both have read the lines.
    world.cytube.room().join("marker");
    let told = || async { world.moves().await.get("marker").is_some_and(|moves| moves == "++") };
    wait_until("both bots have seen the marker", told).await;
    let answered =
        || async { world.cytube.room().lines.iter().any(|line| line.contains("ann: I have never")) };
    wait_until("the question is answered", answered).await;
    assert_eq!(second.running.terminate().await, Some(0), "{}", second.running.log());
    let answers = world.cytube.room().lines.iter().filter(|line| line.contains("ann: I have never")).count();
    assert_eq!(answers, 1);
    // A bot takes what the other one says for a line.
    let lines = || async {
        let lines = world.file.texts(LINES).await;
        sorted(lines.into_iter().filter(|line| !line.starts_with("rosey")).collect()) == world.said()
    };
    wait_until("every line is there once", lines).await;
    world.finish().await;
}
