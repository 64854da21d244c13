//! The values of `--chat`: rooms, each with its name if it has one.

use crate::bot::chat::Source;
use eitherway::Namespace;

/// A chat, and what the room is called.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub(super) name: Option<Namespace>,
    pub(super) source: Source,
}

/// What one value says: one chat, or several.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Chats(pub(super) Vec<Chat>);

/// Reads `--chat`: SOURCE or NAME=SOURCE, or several of these separated by commas.
pub(in crate::cli) fn chats(text: &str) -> Result<Chats, String> {
    let chat = |text: &str| {
        let (name, source) = named(text);
        let name = name.map(Namespace::new).transpose().map_err(|e| e.to_string())?;
        let source: Source = source.parse().map_err(|e: crate::bot::chat::OpenError| match &name {
            Some(name) => format!("{name}: {e}"),
            None => e.to_string(),
        })?;
        Ok(Chat { name, source })
    };
    each(text).into_iter().map(chat).collect::<Result<_, String>>().map(Chats)
}

/// The parts between those commas behind which another chat begins: a file's name may have commas, too.
fn each(text: &str) -> Vec<&str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    for (comma, _) in text.match_indices(',') {
        let (_, source) = named(&text[comma + 1..]);
        if source.split_once(':').is_some_and(|(scheme, _)| Source::is_scheme(scheme)) {
            parts.push(text[begin..comma].trim());
            begin = comma + 1;
        }
    }
    parts.push(text[begin..].trim());
    parts
}

/// Name and source. In front of the `=` of a name no scheme has ended.
fn named(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, source)) if !name.contains(':') => (Some(name.trim()), source.trim()),
        _ => (None, text.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Option<String>, Option<String>)> {
        let Chats(chats) = chats(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        let one = |chat: Chat| (chat.name.map(|name| name.to_string()), chat.source.room());
        chats.into_iter().map(one).collect()
    }

    #[test]
    fn a_room_has_a_name_in_front_of_its_chat_and_several_are_separated_by_commas() {
        let room = |name: Option<&str>, room: &str| (name.map(str::to_owned), Some(room.to_owned()));
        assert_eq!(read("irc://a@h/#one"), [room(None, "irc:#one")]);
        assert_eq!(read("irc+tls://a@h/#one?sasl=x,y"), [room(None, "irc:#one")]);
        assert_eq!(read("den=irc://a@h/#one"), [room(Some("den"), "irc:#one")]);
        let both = [room(Some("den"), "irc:#one"), room(Some("tv"), "cytube:two")];
        assert_eq!(read("den=irc://a@h/#one?key=k,tv=cytube://a@h/two"), both);
        assert_eq!(read(" den = irc://a@h/#one , tv = cytube://a@h/two "), both);
        assert_eq!(
            read("den=irc://a@h/#one,irc://a@h/#two"),
            [room(Some("den"), "irc:#one"), room(None, "irc:#two")]
        );
        assert_eq!(read("jsonl:a,b=c?speed=max"), [(None, None)], "a file's name");
    }

    #[test]
    fn what_is_wrong_with_one_of_several_is_said_with_its_name() {
        for (text, says) in [
            ("Den=irc://a@h/#one", "namespace \"Den\""),
            ("=irc://a@h/#one", "namespace \"\""),
            ("den=irc://a@h/#one,tv=cytube://h", "tv: `cytube://h`: the channel follows"),
            ("den=irc://a@h/#one,", "no channel"),
            ("den=lounge", "does not say of which kind"),
        ] {
            let why = chats(text).expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
    }
}
