//! `strftime` for chat templates, in UTC and in English like Python's C locale.

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Day 0 of Unix time was a Thursday.
const WEEKDAYS: [&str; 7] =
    ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const SECONDS_PER_DAY: i64 = 86_400;

/// `format` filled with the date and time `unix_time` (seconds since 1970-01-01, UTC).
///
/// # Errors
/// A message that names the directive when it is not one of `%Y %m %d %e %y %B %b %A %a %H %M %S
/// %%`; `%-d` and `%-m` are without a leading zero.
pub(super) fn format_utc(unix_time: i64, format: &str) -> Result<String, String> {
    let days = unix_time.div_euclid(SECONDS_PER_DAY);
    let seconds = unix_time.rem_euclid(SECONDS_PER_DAY);
    let (year, month, day) = civil(days);
    let month_name = MONTHS[(month - 1) as usize];
    let weekday = WEEKDAYS[days.rem_euclid(7) as usize];
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let directive = characters.next().unwrap_or(' ');
        let filled = match directive {
            'Y' => year.to_string(),
            'y' => format!("{:02}", year.rem_euclid(100)),
            'm' => format!("{month:02}"),
            'd' => format!("{day:02}"),
            'e' => format!("{day:2}"),
            'B' => month_name.to_owned(),
            'b' => month_name[..3].to_owned(),
            'A' => weekday.to_owned(),
            'a' => weekday[..3].to_owned(),
            'H' => format!("{:02}", seconds / 3600),
            'M' => format!("{:02}", seconds / 60 % 60),
            'S' => format!("{:02}", seconds % 60),
            '%' => "%".to_owned(),
            '-' => match characters.next() {
                Some('d') => day.to_string(),
                Some('m') => month.to_string(),
                other => return Err(format!("strftime_now does not know %-{other:?}")),
            },
            other => return Err(format!("strftime_now does not know %{other}")),
        };
        text.push_str(&filled);
    }
    Ok(text)
}

/// Year, month and day of a day number. Source: Howard Hinnant, "chrono-compatible low-level date
/// algorithms" (`civil_from_days`): years start in March, so the leap day comes last.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_the_calendar() {
        let long = "%a %A %d %e %-d %b %B %Y-%m %y %H:%M:%S %%";
        let cases = [
            (0, "Thu Thursday 01  1 1 Jan January 1970-01 70 00:00:00 %"),
            (951_868_799, "Tue Tuesday 29 29 29 Feb February 2000-02 00 23:59:59 %"),
            (-1, "Wed Wednesday 31 31 31 Dec December 1969-12 69 23:59:59 %"),
        ];
        for (unix_time, expected) in cases {
            assert_eq!(format_utc(unix_time, long).unwrap(), expected);
        }
        assert!(format_utc(0, "%Q").unwrap_err().contains("%Q"));
    }
}
