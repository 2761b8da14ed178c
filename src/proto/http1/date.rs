//! Dates as HTTP sends them, IMF-fixdate, and as it has sent them (RFC 9110 §5.6.7). The clock is the caller's.

const DAY_SECONDS: u64 = 86_400;

/// The last second that four digits of year can name: Fri, 31 Dec 9999 23:59:59 GMT.
const LAST_SECOND: u64 = 253_402_300_799;

/// `Sun, 06 Nov 1994 08:49:37 GMT` for 784,111,777 seconds after the Unix epoch. A time past the
/// year 9999 is written as that year's last second.
pub fn http_date(unix_seconds: u64) -> [u8; 29] {
    let unix_seconds = unix_seconds.min(LAST_SECOND);
    let (days, second) = (unix_seconds / DAY_SECONDS, unix_seconds % DAY_SECONDS);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let weekday = days as usize % 7 * 3;
    text[..3].copy_from_slice(&b"ThuFriSatSunMonTueWed"[weekday..weekday + 3]);
    put_two_digits(&mut text, 5, day);
    let name = (month as usize - 1) * 3;
    text[8..11].copy_from_slice(&b"JanFebMarAprMayJunJulAugSepOctNovDec"[name..name + 3]);
    put_two_digits(&mut text, 12, year / 100);
    put_two_digits(&mut text, 14, year % 100);
    put_two_digits(&mut text, 17, second / 3600);
    put_two_digits(&mut text, 20, second / 60 % 60);
    put_two_digits(&mut text, 23, second % 60);
    text
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Years are taken to begin in March, so that the leap day is the last of its year; an era is the
/// 400 years after which the calendar repeats.
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    const DAYS_FROM_YEAR_0_MARCH: u64 = 719_468;
    let days = days + DAYS_FROM_YEAR_0_MARCH;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let leap_days = day / 1_460 + day / (ERA_DAYS - 1) - day / 36_524;
    let year = (day - leap_days) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day_of_month)
}

/// The seconds since 1970 that a date of one of the three forms names; `None` for what is no such date, or one before
/// 1970. `now` tells which century the two digits of a year in the second form are of.
pub fn parse_http_date(text: &[u8], now: u64) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split(' ');
    let first = words.next()?;
    if let Some(day_name) = first.strip_suffix(',') {
        let (date, time, zone) = match (words.next()?, words.next()?, words.next()?) {
            // Sunday, 06-Nov-94 08:49:37 GMT
            (date, time, zone) if date.contains('-') => {
                let mut parts = date.splitn(3, '-');
                let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
                weekday(day_name, &LONG_DAYS)?;
                ((two(day)?, month, full_year(two(year)?, now)), time, zone)
            }
            // Sun, 06 Nov 1994 08:49:37 GMT
            (day, month, year) => {
                weekday(day_name, &SHORT_DAYS)?;
                ((two(day)?, month, four(year)?), words.next()?, words.next()?)
            }
        };
        if zone != "GMT" || words.next().is_some() {
            return None;
        }
        return seconds_of(date, time);
    }
    // Sun Nov  6 08:49:37 1994
    weekday(first, &SHORT_DAYS)?;
    let month = words.next()?;
    let day = match words.next()? {
        "" => two(format_day(words.next()?)?)?,
        day => two(day)?,
    };
    let (time, year) = (words.next()?, four(words.next()?)?);
    if words.next().is_some() { None } else { seconds_of((day, month, year), time) }
}

const SHORT_DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const LONG_DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Whether it is the name of a day; of which, the date says.
fn weekday(name: &str, names: &[&str; 7]) -> Option<()> {
    names.contains(&name).then_some(())
}

/// The one digit of a day below ten, with a zero before it.
fn format_day(digit: &str) -> Option<[u8; 2]> {
    match digit.as_bytes() {
        [digit @ b'1'..=b'9'] => Some([b'0', *digit]),
        _ => None,
    }
}

fn two(digits: impl AsRef<[u8]>) -> Option<u64> {
    match digits.as_ref() {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(u64::from(a - b'0') * 10 + u64::from(b - b'0')),
        _ => None,
    }
}

fn four(digits: &str) -> Option<u64> {
    let (high, low) = digits.as_bytes().split_at_checked(2)?;
    Some(two(high)? * 100 + two(low)?)
}

/// A year of two digits, in the century that puts it at most 50 years into the future, and less into the past.
fn full_year(year: u64, now: u64) -> u64 {
    let this_year = civil(now.min(LAST_SECOND) / DAY_SECONDS).0;
    match this_year / 100 * 100 + year {
        year if year > this_year + 50 => year - 100,
        year if year + 50 <= this_year => year + 100,
        year => year,
    }
}

fn seconds_of((day, month, year): (u64, &str, u64), time: &str) -> Option<u64> {
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let mut parts = time.splitn(3, ':');
    let mut part = || two(parts.next()?);
    let (hour, minute, second) = (part()?, part()?, part()?);
    let days = days_since_epoch(year, month, day)?;
    // 60 is a leap second, which Unix time does not have.
    let legal = hour < 24 && minute < 60 && second <= 60;
    legal.then(|| days * DAY_SECONDS + hour * 3600 + minute * 60 + second.min(59))
}

/// The inverse of [`civil`]; `None` for a day that its month does not have, or before 1970.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || day == 0 {
        return None;
    }
    let (from_march, year_from_march) =
        if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let (era, of_era) = (year_from_march / 400, year_from_march % 400);
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

fn put_two_digits(text: &mut [u8; 29], at: usize, number: u64) {
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unix_seconds: u64) -> String {
        String::from_utf8(http_date(unix_seconds).to_vec()).expect("ASCII")
    }

    #[test]
    fn known_moments_are_written_as_the_rfc_writes_them() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_078_012_800, "Sun, 29 Feb 2004 00:00:00 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (2_147_483_647, "Tue, 19 Jan 2038 03:14:07 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (LAST_SECOND, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(text(seconds), expected);
        }
    }

    const NOW: u64 = 784_111_777;

    #[test]
    fn the_three_forms_of_a_date_are_read() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_http_date(date.as_bytes(), NOW), Some(NOW), "{date}");
        }
        let leap_second = b"Sat, 31 Dec 2016 23:59:60 GMT";
        assert_eq!(parse_http_date(leap_second, NOW), Some(1_483_228_799));
        assert_eq!(parse_http_date(b"Wed Nov 16 08:49:37 1994", NOW), Some(NOW + 10 * DAY_SECONDS));
    }

    #[test]
    fn a_year_of_two_digits_is_at_most_fifty_years_ahead() {
        let year = |digits: &str, now| {
            let date = format!("Sunday, 06-Nov-{digits} 08:49:37 GMT");
            parse_http_date(date.as_bytes(), now).map(|seconds| civil(seconds / DAY_SECONDS).0)
        };
        assert_eq!(year("44", NOW), Some(2044));
        assert_eq!(year("45", NOW), None); // 1945
        assert_eq!(year("99", NOW), Some(1999));
        let in_2030 = 1_900_000_000;
        assert_eq!(year("80", in_2030), Some(2080));
        assert_eq!(year("81", in_2030), Some(1981));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "Sun",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Tue, 29 Feb 2100 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov 006 08:49:37 1994",
            "Sun Nov  0 08:49:37 1994",
        ] {
            assert_eq!(parse_http_date(text.as_bytes(), NOW), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 0..=LAST_SECOND) {
            proptest::prop_assert_eq!(parse_http_date(&http_date(seconds), NOW), Some(seconds));
        }

        #[test]
        fn any_text_is_a_date_or_none(text in "[A-Za-z0-9,: -]{0,32}") {
            let _ = parse_http_date(text.as_bytes(), NOW);
        }
    }

    #[test]
    fn every_day_of_a_thousand_years_follows_the_day_before() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..366_000 {
            assert_eq!(civil(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            day += 1;
            if day > lengths[month as usize - 1] + u64::from(leap && month == 2) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
