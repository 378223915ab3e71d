//! Times: read leniently, printed strictly (contract 3.2, product decision 16).

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use prost_types::Timestamp;

use crate::clock::{Clock as _, SystemClock};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Prints a time as [`print()`] does, by a clock that is so many minutes ahead of UTC.
pub(super) fn print_local(time: &Timestamp, offset_minutes: i32) -> Option<String> {
    let nanos = u32::try_from(time.nanos).ok()?;
    let offset = FixedOffset::east_opt(offset_minutes.checked_mul(60)?)?;
    let time = DateTime::<Utc>::from_timestamp(time.seconds, nanos)?.with_timezone(&offset);
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, false))
}

/// Prints a time as ISO 8601 in UTC with exactly three fractional digits, cut off and not rounded.
///
/// Out-of-range times are no times at all: `None`.
pub(super) fn print(time: &Timestamp) -> Option<String> {
    let nanos = u32::try_from(time.nanos).ok()?;
    DateTime::<Utc>::from_timestamp(time.seconds, nanos)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Reads whatever a lenient date parser takes; `today` completes a mere time of day. No offset means UTC.
pub(super) fn parse(text: &str, today: NaiveDate) -> Option<Timestamp> {
    let mut rest = Rest(text.trim());
    let date = rest.date();
    let joined = date.is_some() && rest.one_of(&['T', 't']).is_some();
    rest.blanks();
    let expects_time = joined || date.is_none() || rest.0.starts_with(|c: char| c.is_ascii_digit());
    let time = if expects_time {
        Some(rest.time(joined)?)
    } else {
        None
    };
    let offset = if expects_time {
        rest.offset()?
    } else {
        rest.utc_or_nothing()?
    };
    if !rest.0.is_empty() {
        return None;
    }
    let local = date.unwrap_or(today).and_time(time.unwrap_or(NaiveTime::MIN));
    let utc = local.checked_sub_signed(offset)?.and_utc();
    timestamp(utc)
}

/// What completes a mere time of day.
pub(super) fn today() -> NaiveDate {
    SystemClock.now().date_naive()
}

/// Reads the date of an HTTP header such as `If-Unmodified-Since`.
pub(super) fn parse_http(text: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc2822(text.trim())
        .ok()
        .and_then(|time| timestamp(time.with_timezone(&Utc)))
}

/// Protobuf knows the years 1 to 9999.
fn timestamp(time: DateTime<Utc>) -> Option<Timestamp> {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).ok()?;
    (1..=9999).contains(&time.year()).then_some(Timestamp {
        seconds: time.timestamp(),
        nanos,
    })
}

/// What is left to read. Every method takes from the front what it understands.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn date(&mut self) -> Option<NaiveDate> {
        let readers: [fn(&mut Self) -> Option<NaiveDate>; 4] = [
            Self::separated_date,
            Self::compact_date,
            Self::day_month_year,
            Self::month_day_year,
        ];
        readers.into_iter().find_map(|read| self.attempt(read))
    }

    /// `2019-03-15` or `2019/03/15`.
    fn separated_date(&mut self) -> Option<NaiveDate> {
        let year = self.digits(4, 4)?;
        let separator = self.one_of(&['-', '/'])?;
        let month = self.digits(1, 2)?;
        self.exactly(separator)?;
        let day = self.digits(1, 2)?;
        self.end_of_number()?;
        date(year, month, day)
    }

    /// `20190315`.
    fn compact_date(&mut self) -> Option<NaiveDate> {
        let (year, month, day) = (self.digits(4, 4)?, self.digits(2, 2)?, self.digits(2, 2)?);
        self.end_of_number()?;
        date(year, month, day)
    }

    /// `15 Mar 2019`, `Fri, 15 March 2019`.
    fn day_month_year(&mut self) -> Option<NaiveDate> {
        self.weekday();
        let day = self.digits(1, 2)?;
        self.gap();
        let month = self.month()?;
        self.gap();
        let year = self.digits(4, 4)?;
        self.end_of_number()?;
        date(year, month, day)
    }

    /// `Mar 15 2019`, `March 15, 2019`.
    fn month_day_year(&mut self) -> Option<NaiveDate> {
        self.weekday();
        let month = self.month()?;
        self.gap();
        let day = self.digits(1, 2)?;
        self.gap();
        let year = self.digits(4, 4)?;
        self.end_of_number()?;
        date(year, month, day)
    }

    /// `8:00`, `08:00:00`, `08:00:00.123`, and `0800`, `080000` where only a time can stand.
    fn time(&mut self, compact_allowed: bool) -> Option<NaiveTime> {
        if let Some(time) = self.attempt(|rest| rest.clock(Some(':'))) {
            return Some(time);
        }
        if compact_allowed {
            self.attempt(|rest| rest.clock(None))
        } else {
            None
        }
    }

    fn clock(&mut self, separator: Option<char>) -> Option<NaiveTime> {
        let hour = self.digits(if separator.is_some() { 1 } else { 2 }, 2)?;
        if let Some(separator) = separator {
            self.exactly(separator)?;
        }
        let minute = self.digits(2, 2)?;
        let second = self.attempt(|rest| {
            if let Some(separator) = separator {
                rest.exactly(separator)?;
            }
            rest.digits(2, 2)
        });
        let nanos = if second.is_some() { self.fraction() } else { 0 };
        self.end_of_number()?;
        NaiveTime::from_hms_nano_opt(hour, minute, second.unwrap_or(0), nanos)
    }

    /// The digits after `.` or `,`, in nanoseconds; what is finer is cut off.
    fn fraction(&mut self) -> u32 {
        self.attempt(|rest| {
            rest.one_of(&['.', ','])?;
            let digits = rest.take_while(|c| c.is_ascii_digit());
            let nanos: String = digits.chars().chain("000000000".chars()).take(9).collect();
            if digits.is_empty() {
                None
            } else {
                nanos.parse().ok()
            }
        })
        .unwrap_or(0)
    }

    /// `None`: no offset that makes sense. Nothing at all is UTC.
    fn offset(&mut self) -> Option<TimeDelta> {
        let blanks = self.blanks();
        if self.0.is_empty() || self.word(&["z", "utc", "gmt"]) {
            return Some(TimeDelta::zero());
        }
        let sign = match self.one_of(&['+', '-']) {
            Some('-') => -1,
            Some(_) => 1,
            // A plus that nobody encoded arrives as a blank.
            None if blanks > 0 => 1,
            None => return None,
        };
        let hours = self.digits(1, 2)?;
        self.one_of(&[':']);
        let minutes = if self.0.is_empty() { 0 } else { self.digits(2, 2)? };
        let offset = TimeDelta::minutes(i64::from(hours) * 60 + i64::from(minutes));
        (hours < 24 && minutes < 60).then_some(offset * sign)
    }

    fn utc_or_nothing(&mut self) -> Option<TimeDelta> {
        (self.word(&["z", "utc", "gmt"]) || self.0.is_empty()).then(TimeDelta::zero)
    }

    fn weekday(&mut self) {
        let found = self.attempt(|rest| {
            let name = rest.take_while(|c| c.is_ascii_alphabetic());
            named(name, &WEEKDAYS)
        });
        if found.is_some() {
            self.gap();
        }
    }

    fn month(&mut self) -> Option<u32> {
        let name = self.take_while(|c| c.is_ascii_alphabetic());
        named(name, &MONTHS).and_then(|index| u32::try_from(index + 1).ok())
    }

    fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut ahead = *self;
        let found = read(&mut ahead)?;
        *self = ahead;
        Some(found)
    }

    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let length = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if length < least {
            return None;
        }
        let (number, rest) = self.0.split_at(length);
        self.0 = rest;
        number.parse().ok()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !wanted(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn word(&mut self, words: &[&str]) -> bool {
        self.attempt(|rest| {
            let word = rest.take_while(|c| c.is_ascii_alphabetic());
            words
                .iter()
                .any(|known| known.eq_ignore_ascii_case(word))
                .then_some(())
        })
        .is_some()
    }

    fn one_of(&mut self, wanted: &[char]) -> Option<char> {
        let found = self.0.chars().next().filter(|c| wanted.contains(c))?;
        self.0 = self.0.strip_prefix(found)?;
        Some(found)
    }

    fn exactly(&mut self, wanted: char) -> Option<()> {
        self.0 = self.0.strip_prefix(wanted)?;
        Some(())
    }

    fn end_of_number(&self) -> Option<()> {
        (!self.0.starts_with(|c: char| c.is_ascii_digit())).then_some(())
    }

    fn blanks(&mut self) -> usize {
        self.take_while(|c| c == ' ').len()
    }

    /// What may stand between the parts of a written-out date.
    fn gap(&mut self) {
        self.take_while(|c| matches!(c, ' ' | ',' | '-' | '.'));
    }
}

fn date(year: u32, month: u32, day: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// The index of the name that `text` is, in full or as its first three letters.
fn named(text: &str, names: &[&str]) -> Option<usize> {
    let start = text.get(..3)?;
    names.iter().position(|name| name.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 5, 4).unwrap()
    }

    fn read(text: &str) -> Option<String> {
        parse(text, today()).and_then(|time| print(&time))
    }

    #[test]
    fn every_form_that_clients_send_is_read() {
        for (text, expected) in [
            ("2019-03-15T08:00:00Z", "2019-03-15T08:00:00.000Z"),
            ("2019-03-15T08:00:00.5Z", "2019-03-15T08:00:00.500Z"),
            ("2026-01-01T00:00:00.0000000Z", "2026-01-01T00:00:00.000Z"),
            ("2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123Z"),
            ("2026-01-01T00:00:00,999999Z", "2026-01-01T00:00:00.999Z"),
            ("2026-01-01T00:00:00+01:00", "2025-12-31T23:00:00.000Z"),
            ("2026-01-01T00:00:00-0130", "2026-01-01T01:30:00.000Z"),
            ("2026-01-01T00:00:00+01", "2025-12-31T23:00:00.000Z"),
            ("2026-01-01T00:00:00 01:00", "2025-12-31T23:00:00.000Z"),
            ("2026-01-01 00:00:00 01:00", "2025-12-31T23:00:00.000Z"),
            ("2026-01-01 00:00:00+00:00", "2026-01-01T00:00:00.000Z"),
            ("2026-01-01 00:00:00 +0000", "2026-01-01T00:00:00.000Z"),
            ("2026-01-01 00:00:00 UTC", "2026-01-01T00:00:00.000Z"),
            ("2019-03-15", "2019-03-15T00:00:00.000Z"),
            ("2019/03/15", "2019-03-15T00:00:00.000Z"),
            ("2019-03-15 08:00:00", "2019-03-15T08:00:00.000Z"),
            ("2019-03-15 8:00", "2019-03-15T08:00:00.000Z"),
            ("20190315T080000Z", "2019-03-15T08:00:00.000Z"),
            ("20190315T0800", "2019-03-15T08:00:00.000Z"),
            ("20190315", "2019-03-15T00:00:00.000Z"),
            ("15 Mar 2019", "2019-03-15T00:00:00.000Z"),
            ("15 march 2019 08:30", "2019-03-15T08:30:00.000Z"),
            ("March 15, 2019", "2019-03-15T00:00:00.000Z"),
            ("Fri, 15 Mar 2019 08:00:00 GMT", "2019-03-15T08:00:00.000Z"),
            ("08:00", "2026-05-04T08:00:00.000Z"),
            (" 2019-03-15T08:00:00Z ", "2019-03-15T08:00:00.000Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            " ",
            "1552636800",
            "yesterday",
            "2019-13-45",
            "2019-02-29",
            "2019-03",
            "2019",
            "2019-03-15T25:00:00Z",
            "2019-03-15T08:00:00X",
            "2019-03-15T08:00:00+99:00",
            "2019-03-15T",
            "2019-03-15 foo",
            "0000-01-01",
            "9999-12-31T23:59:59-23:59",
            "15 Mrz 2019",
            "８:00",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_the_full_date_of_a_header_is_read() {
        let time = parse_http("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        assert_eq!(print(&time).as_deref(), Some("2015-10-21T07:28:00.000Z"));
        assert_eq!(parse_http("tomorrow"), None);
    }

    #[test]
    fn printing_cuts_off_and_never_rounds() {
        let time = Timestamp {
            seconds: 1_470_915_155,
            nanos: 444_999_999,
        };
        assert_eq!(print(&time).as_deref(), Some("2016-08-11T11:32:35.444Z"));
        assert_eq!(
            print(&Timestamp {
                seconds: i64::MAX,
                nanos: 0
            }),
            None
        );
        assert_eq!(
            print(&Timestamp {
                seconds: 0,
                nanos: -1
            }),
            None
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            let _ = parse(&text, today());
        }

        #[test]
        fn a_printed_time_reads_back_as_itself(seconds in 0_i64..4_000_000_000, millis in 0_i32..1000) {
            let time = Timestamp { seconds, nanos: millis * 1_000_000 };
            let text = print(&time).unwrap();
            prop_assert_eq!(parse(&text, today()), Some(time));
        }
    }
}
