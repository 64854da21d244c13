//! The time that a server writes in front of a line: `2026-11-27T12:34:56.789Z`.

/// The unix milliseconds of such a time; `None` if it is none.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (year, month, day) = three(date, '-')?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let (hour, minute, second) = three(clock, ':')?;
    let valid = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !valid || hour > 23 || minute > 59 || second > 60 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3.3}").parse().ok()?;
    Some((days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000 + millis)
}

fn three(text: &str, sign: char) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(sign).map(|part| {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<i64>().ok()).flatten()
    });
    let three = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(three)
}

/// Days since 1970-01-01. The year begins in March, so that the day that leap years add is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_the_millisecond_and_anything_else_is_none() {
        assert_eq!(parse("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(parse("2024-02-29T23:59:59.5Z"), Some(1_709_251_199_500));
        assert_eq!(parse("2026-11-27T12:34:56.789123Z"), Some(1_795_782_896_789));
        assert_eq!(parse("2000-03-01T00:00:00Z"), Some(951_868_800_000));
        for odd in [
            "",
            "Z",
            "T",
            "2026-11-27",
            "2026-13-01T00:00:00Z",
            "2026-11-27T24:00:00Z",
            "x-1-1T1:1:1Z",
            "2026-11-27T12:34:56.7é9Z",
            "99999-11-27T12:34:56Z",
            "2026-11-27T12:34Z",
            "+026-11-27T12:34:56Z",
        ] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
