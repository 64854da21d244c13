use super::*;

#[tokio::test]
async fn those_whom_a_netsplit_takes_stay_if_they_come_back_and_nobody_else_does() {
    let (hub, mut leaf) = IrcServer::linked().await;
    let (world, mut observer) = World::with_observer(hub).await;
    let near = Person::join(world.irc.port(), "near").await;
    let mut far = Vec::new();
    for n in 0..6 {
        far.push(Person::join(leaf.port(), &format!("far{n}")).await);
    }
    observer.hears_times(" JOIN :#lounge", 1 + 1 + 1 + 6).await;
    far[0].tell("before the split").await;
    observer.hears("before the split").await;
    let before = Record::of(&observer).moves;
    wait_until("the joins are written", || async { world.moves().await == before }).await;

    leaf.kill();
    observer.hears_times(" QUIT :hub.irc.test leaf.irc.test", 6).await;
    drop(far);
    observer.tell("alone").await;
    wait_until("the line is written", || async { world.sorted_lines().await.len() == 2 }).await;
    assert_eq!(world.moves().await, before, "no user has left who may come back");

    leaf.restart().await;
    let mut back = Vec::new();
    for n in 0..3 {
        back.push(Person::join(leaf.port(), &format!("far{n}")).await);
    }
    // One comes back by the other server: another connection, but the same user.
    back.push(Person::join(world.irc.port(), "far3").await);
    observer.hears_times(":far", 1 + 6 + 6 + 4).await;
    for person in &mut back {
        person.tell("healed").await;
    }
    observer.hears_times("healed", 4).await;
    wait_until("the lines are written", || async { world.sorted_lines().await.len() == 6 }).await;
    assert_eq!(world.moves().await, before, "{}", world.bot.running.log());
    drop(near);
    world.finish().await;
}
