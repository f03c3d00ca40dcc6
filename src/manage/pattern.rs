//! Regular expressions of routes and filters, tried before they are stored.

use super::names;
use super::refusal::Refusal;
use crate::proxy::pattern_groups;

/// Compiles a pattern; says how many groups it has.
///
/// # Errors
/// It is empty or does not compile: it would never match.
pub(super) fn groups(what: &'static str, pattern: &str) -> Result<usize, Refusal> {
    names::expression(what, pattern)?;
    if pattern.is_empty() {
        return Err(Refusal::invalid(
            what,
            pattern,
            "empty: it would never match",
        ));
    }
    pattern_groups(pattern).map_err(|error| Refusal::invalid(what, pattern, error.to_string()))
}

/// Refuses a `$N` of an expression for which there is no group.
///
/// # Errors
/// There is one.
pub(super) fn references(
    what: &'static str,
    expression: &str,
    groups: usize,
) -> Result<(), Refusal> {
    for rest in expression.split('$').skip(1) {
        let Some(digit) = rest.chars().next().and_then(|c| c.to_digit(10)) else {
            continue;
        };
        if digit == 0 || digit as usize > groups {
            let why = match groups {
                0 => format!("${digit} refers to a group, and the pattern has none in brackets"),
                1 => format!("${digit} refers to a group, and the pattern has only $1"),
                _ => format!("${digit} refers to a group, and the pattern has $1 to ${groups}"),
            };
            return Err(Refusal::invalid(what, expression, why));
        }
    }
    Ok(())
}

/// Refuses a `$1N` or `$2N` in the data of a filter for which its condition has no group N.
///
/// # Errors
/// There is one.
pub(super) fn filter_references(
    what: &'static str,
    data: &str,
    groups: [usize; 2],
) -> Result<(), Refusal> {
    for rest in data.split('$').skip(1) {
        let mut digits = rest.chars().map_while(|c| c.to_digit(10));
        let (Some(condition @ 1..=2), Some(group)) = (digits.next(), digits.next()) else {
            continue;
        };
        let [first, second] = groups;
        let has = if condition == 1 { first } else { second };
        if group as usize > has {
            return Err(Refusal::invalid(
                what,
                data,
                format!(
                    "${condition}{group} is group {group} of condition {condition}, which has {has}"
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_compiles_or_is_refused() {
        for (pattern, expected) in [
            (r"^sip:9([0-9]+)@example\.org", Some(1)),
            (r"^sip:pres-(.*)@(.*)$", Some(2)),
            (r"(?:a|b)(?=c)", Some(0)),
            ("", None),
            ("(", None),
            ("[a", None),
            ("a\nb", None),
        ] {
            assert_eq!(groups("pattern", pattern).ok(), expected, "{pattern:?}");
        }
    }

    #[test]
    fn an_expression_refers_to_groups_that_there_are() {
        for (expression, groups, fits) in [
            ("sip:$1@127.0.0.1:5070", 1, true),
            ("sip:conf@127.0.0.1", 0, true),
            ("sip:$2@127.0.0.1", 1, false),
            ("sip:$0@127.0.0.1", 1, false),
            ("sip:$1@127.0.0.1", 0, false),
            ("sip:a$b@127.0.0.1", 0, true),
        ] {
            let found = references("rewrite", expression, groups).is_ok();
            assert_eq!(found, fits, "{expression}");
        }
        for (data, groups, fits) in [
            ("SELECT '403' FROM blocked WHERE name = '$11'", [1, 0], true),
            ("403, $12", [1, 0], false),
            ("403, $21", [1, 0], false),
            ("403, $21", [0, 1], true),
            ("403, costs $5", [0, 0], true),
        ] {
            let found = filter_references("data", data, groups).is_ok();
            assert_eq!(found, fits, "{data}");
        }
    }
}
