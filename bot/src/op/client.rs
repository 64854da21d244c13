use super::{
    ChannelStats, Chatter, Count, Forget, GetChannelStats, GetLeaderboard, GetQuote, GetSeen, GetTells,
    GetUserStats, HighWater, KvDelete, KvGet, KvKeys, KvList, KvSet, Lead, Leader, Line, MessageLog, Op,
    OpenSessions, OutboundEnqueue, OutboundGet, OutboundMarkFailed, OutboundMarkSent, OutboundMessage,
    PmCommand, Quote, QuoteAdd, RecentChat, SearchChat, Seen, Session, StatusUpdate, Tell, TellUndo,
    UserCount, UserCountHistory, UserJoined, UserLeft, UserStats, WaitingTell, check,
};

eitherway::client! {
    /// The methods of the typed client, one for each operation, named after it.
    pub trait RoseyClient for Op {
        /// A user joined the channel.
        user_joined(username: impl Into<String>) -> () => UserJoined { username: username.into() }, drop;
        /// A user left the channel.
        user_left(username: impl Into<String>) -> () => UserLeft { username: username.into() }, drop;
        /// A line was said in the channel.
        message_log(username: impl Into<String>, message: impl Into<String>) -> () =>
            MessageLog { username: username.into(), message: message.into() }, drop;
        /// How many are in the chat, and how many are connected.
        user_count(chat_count: u32, connected_count: u32) -> () => UserCount { chat_count, connected_count }, drop;
        /// How many are in the chat, and how many are connected if that is known, for the record.
        high_water(chat_count: u32, connected_count: Option<u32>) -> () =>
            HighWater { chat_count, connected_count }, drop;
        /// What the bot is doing.
        status_update(status: StatusUpdate) -> () => StatusUpdate { ..status }, drop;
        /// A moderator gave the bot a command.
        pm_command(command: PmCommand) -> () => PmCommand { ..command }, drop;
        /// Leaves a message for a user, or for the whole channel. Answers with its number.
        outbound_enqueue(username: Option<&str>, content: impl Into<String>) -> i64 =>
            OutboundEnqueue { username: username.map(str::to_owned), content: content.into() }, |queued| queued.id;
        /// Claims at most `limit` messages that wait for this user.
        outbound_messages(username: impl Into<String>, limit: u32) -> Vec<OutboundMessage> =>
            OutboundGet { username: Some(username.into()), limit, max_retries: check::number::<3>() };
        /// Claims at most `limit` messages that wait for the whole channel.
        outbound_channel_messages(limit: u32) -> Vec<OutboundMessage> =>
            OutboundGet { username: None, limit, max_retries: check::number::<3>() };
        /// A message was delivered.
        outbound_mark_sent(message_id: i64) -> () => OutboundMarkSent { message_id }, drop;
        /// A message could not be delivered; `permanent` gives it up.
        outbound_mark_failed(message_id: i64, error: impl Into<String>, permanent: bool) -> () =>
            OutboundMarkFailed { message_id, error: error.into(), permanent }, drop;
        /// The newest `limit` lines, oldest first.
        recent_chat(limit: u32) -> Vec<Line> => RecentChat { limit };
        /// What is known of a user; nothing about one who was never seen.
        user_stats(username: impl Into<String>) -> Option<UserStats> =>
            GetUserStats { username: username.into() }, |stats| stats.found.then_some(stats);
        /// What is known of the channel.
        channel_stats() -> ChannelStats => GetChannelStats {};
        /// How many were in the channel over the last `hours`.
        user_count_history(hours: u32) -> Vec<Count> => UserCountHistory { hours };
        /// Who is here, as far as the database knows.
        open_sessions() -> Vec<Session> => OpenSessions {};
        /// When a user was here last; nothing about one who was never seen.
        seen(username: impl Into<String>) -> Option<Seen> =>
            GetSeen { username: username.into() }, |seen| seen.found.then_some(seen);
        /// Who has said most since this unix second, of the lines that are kept; at most `limit`.
        leaderboard(since: u32, limit: u32) -> Vec<Chatter> => GetLeaderboard { since, limit };
        /// The newest of the lines that are kept and fit, oldest first.
        chat(search: SearchChat) -> Vec<Line> => SearchChat { ..search };
        /// Leaves a message of one user for another one. Answers with its number.
        tell(tell: Tell) -> i64 => Tell { ..tell }, |queued| queued.id;
        /// Takes back a message of this sender. Returns whether it had not been delivered yet.
        tell_undo(sender: impl Into<String>, message_id: i64) -> bool =>
            TellUndo { sender: sender.into(), message_id }, |taken| taken.undone;
        /// At most 50 messages that wait for this user, oldest first.
        tells_for(username: impl Into<String>) -> Vec<WaitingTell> =>
            GetTells { sender: None, username: Some(username.into()), limit: check::number::<50>() };
        /// At most 50 messages of this sender that are not delivered yet, oldest first.
        tells_of(sender: impl Into<String>) -> Vec<WaitingTell> =>
            GetTells { sender: Some(sender.into()), username: None, limit: check::number::<50>() };
        /// Keeps a quote. Returns its number.
        quote_add(quote: QuoteAdd) -> i64 => QuoteAdd { ..quote }, |quoted| quoted.id;
        /// One of the quotes that fit, if there is one.
        quote(which: GetQuote) -> Option<Quote> => GetQuote { ..which };
        /// Writes a value of a plugin, for `ttl_seconds` if that is given.
        kv_set(plugin: impl Into<String>, key: impl Into<String>, value: serde_json::Value, ttl_seconds: Option<u32>)
            -> () => KvSet { plugin_name: plugin.into(), key: key.into(), value, ttl_seconds }, drop;
        /// A value of a plugin, if there is one.
        kv_get(plugin: impl Into<String>, key: impl Into<String>) -> Option<serde_json::Value> =>
            KvGet { plugin_name: plugin.into(), key: key.into() }, |kv| kv.data.exists.then_some(kv.data.value);
        /// Deletes a value of a plugin. Returns whether there was one.
        kv_delete(plugin: impl Into<String>, key: impl Into<String>) -> bool =>
            KvDelete { plugin_name: plugin.into(), key: key.into() }, |kv| kv.data.deleted;
        /// Forgets what is known of this name from before now.
        forget(username: impl Into<String>) -> () => Forget { username: username.into() }, drop;
        /// Asks to lead in a room, or to go on leading. Answers who leads.
        lead(lead: Lead) -> Leader => Lead { ..lead };
        /// The keys of a plugin that begin with `prefix`, at most 1000.
        kv_list(plugin: impl Into<String>, prefix: impl Into<String>) -> KvKeys =>
            KvList { plugin_name: plugin.into(), prefix: prefix.into(), limit: check::number::<1000>() }, |kv| kv.data;
    }
}
