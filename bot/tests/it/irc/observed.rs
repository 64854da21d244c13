use super::*;

/// Fifty people come, talk, take other names, are thrown out and go, while NATS is killed and comes back.
async fn busy(irc: IrcServer, many: usize) -> (World, Person) {
    let (mut world, mut observer) = World::with_observer(irc).await;
    let port = world.irc.port();
    let coming = (0..many).map(|n| async move { Person::join(port, &format!("guest{n}")).await });
    let mut people = futures_util::future::join_all(coming).await;
    for round in 0..3 {
        if round == 1 {
            world.nats.kill();
        }
        for (n, person) in people.iter_mut().enumerate() {
            person.tell(&format!("line {round} of {n}, naïve 🦀")).await;
        }
        if round == 2 {
            world.nats.restart().await;
        }
    }
    people[0].bytes(b"PRIVMSG #lounge :caf\xe9 by latin-1\r\n").await;
    people[0].say("PRIVMSG #lounge :\u{1}ACTION waves\u{1}").await;
    for (n, person) in people.iter_mut().enumerate() {
        match n % 5 {
            0 => person.rename(&format!("other{n}")).await,
            1 => person.rename(&format!("GUEST{n}")).await,
            2 => person.say("PART #lounge :bye").await,
            3 => person.say("QUIT :gone").await,
            _ => person.tell("still here").await,
        }
    }
    // The first one in the channel may throw others out.
    observer.say("KICK #lounge guest4 :behave").await;
    for (n, person) in people.iter_mut().enumerate().filter(|(n, _)| n % 5 != 3) {
        person.settle().await;
        if n % 5 == 2 {
            person.say("JOIN #lounge").await;
            person.tell("back again").await;
            person.settle().await;
        }
    }
    world.agrees_with(&mut observer).await;
    drop(people);
    (world, observer)
}

#[tokio::test]
async fn the_database_says_what_somebody_in_the_channel_has_seen_with_ids_of_the_network() {
    let (world, _observer) = busy(IrcServer::inspircd().await, 50).await;
    world.finish().await;
}

#[tokio::test]
async fn the_database_says_what_somebody_in_the_channel_has_seen_on_a_server_without_ids() {
    let (world, observer) = busy(IrcServer::ngircd().await, 20).await;
    let seen: Vec<_> =
        Record::of(&observer).lines.iter().filter(|line| line.contains("still")).cloned().collect();
    let told: Vec<_> =
        world.file.texts(LINES).await.into_iter().filter(|line| line.contains("still")).collect();
    assert_eq!(told, seen, "in the order in which they were said");
    world.finish().await;
}

#[tokio::test]
async fn two_bots_in_one_room_write_a_line_once_where_the_network_has_ids() {
    let (world, mut observer) = World::with_observer(IrcServer::inspircd().await).await;
    let mut second = Bot::start(&world.irc.chat("rosey2"), &world.nats.url(), &world.file);
    second.running.says("in #lounge as rosey2").await;
    let mut ann = Person::join(world.irc.port(), "ann").await;
    for n in 0..20 {
        ann.tell(&format!("line {}", n / 2)).await;
    }
    ann.settle().await;
    // When both have reported a user who joins after the lines, both have read the lines.
    let _marker = Person::join(world.irc.port(), "marker").await;
    let told = || async { world.moves().await.get("marker").is_some_and(|moves| moves == "++") };
    wait_until("both bots have seen the marker", told).await;
    assert_eq!(second.running.terminate().await, Some(0), "{}", second.running.log());
    world.agrees_on_lines(&mut observer).await;
    world.finish().await;
}
