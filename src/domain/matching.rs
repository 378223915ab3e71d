//! Maximum matching of votes to rules: as many required approvals as possible are filled, whatever the order in which
//! the votes came (decision 9).

/// Gives every vote at most one rule and every rule at most as many votes as it requires, so that as many as possible
/// are given; where rules compete, the earlier one is filled first.
///
/// `required` has a number for each rule, `choices` the rules that each vote may count for. Answers the rule of each
/// vote.
///
/// Rules take votes one by one; a rule that finds all its votes taken makes another rule look for a substitute. That a
/// rule cannot be helped in this way proves that no assignment does better (augmenting paths).
pub fn assign(required: &[usize], choices: &[Vec<usize>]) -> Vec<Option<usize>> {
    complete(required, choices, vec![None; choices.len()])
}

/// The same, beginning with votes that have their rules already: these may change places, but no rule loses one.
pub fn complete(
    required: &[usize],
    choices: &[Vec<usize>],
    mut rule_of: Vec<Option<usize>>,
) -> Vec<Option<usize>> {
    let mut given = vec![0; required.len()];
    for rule in rule_of.iter().flatten() {
        given[*rule] += 1;
    }
    // A search that fails has seen every vote that its rules could have; no later one finds more by asking them again.
    let mut hopeless = vec![false; required.len()];
    for (rule, &wanted) in required.iter().enumerate() {
        for _ in given[rule]..wanted {
            let mut asked = hopeless.clone();
            if !take(rule, choices, &mut rule_of, &mut asked) {
                hopeless = asked;
                break;
            }
        }
    }
    rule_of
}

/// The rules that one more vote would be of use to: those that lack one, and those that could give one up to them.
pub fn wanted(required: &[usize], choices: &[Vec<usize>], rule_of: &[Option<usize>]) -> Vec<bool> {
    let mut lacking = required.to_vec();
    for rule in rule_of.iter().flatten() {
        lacking[*rule] -= 1;
    }
    let mut wanted: Vec<bool> = lacking.iter().map(|&lacking| lacking > 0).collect();
    while let Some(giver) = choices.iter().zip(rule_of).find_map(|(choices, rule)| {
        let helps = choices.iter().any(|&other| wanted[other]);
        rule.filter(|&rule| helps && !wanted[rule])
    }) {
        wanted[giver] = true;
    }
    wanted
}

/// Finds one more vote for `rule`: a free one, or one whose rule finds another. `asked` are the rules that were asked
/// already.
fn take(rule: usize, choices: &[Vec<usize>], rule_of: &mut [Option<usize>], asked: &mut [bool]) -> bool {
    asked[rule] = true;
    let fits = |vote: usize| choices[vote].contains(&rule);
    if let Some(free) = (0..choices.len()).find(|&vote| rule_of[vote].is_none() && fits(vote)) {
        rule_of[free] = Some(rule);
        return true;
    }
    for vote in 0..choices.len() {
        let Some(holder) = rule_of[vote].filter(|&holder| !asked[holder] && fits(vote)) else {
            continue;
        };
        if take(holder, choices, rule_of, asked) {
            rule_of[vote] = Some(rule);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(rules: usize, assigned: &[Option<usize>]) -> Vec<usize> {
        let mut filled = vec![0; rules];
        for rule in assigned.iter().flatten() {
            filled[*rule] += 1;
        }
        filled
    }

    /// The best there is by trying everything: the most votes, then the fullest first rule, and so on.
    fn best(required: &[usize], choices: &[Vec<usize>], so_far: &mut Vec<usize>) -> (usize, Vec<usize>) {
        let Some((first, rest)) = choices.split_first() else {
            return (so_far.iter().sum(), so_far.clone());
        };
        let mut found = best(required, rest, so_far);
        for &rule in first {
            if so_far[rule] < required[rule] {
                so_far[rule] += 1;
                found = found.max(best(required, rest, so_far));
                so_far[rule] -= 1;
            }
        }
        found
    }

    prop_compose! {
        fn cases()(required in prop::collection::vec(0usize..4, 1..5))
            (choices in prop::collection::vec(
                prop::collection::btree_set(0..required.len(), 0..=required.len())
                    .prop_map(|set| set.into_iter().collect::<Vec<_>>()), 0..7),
             required in Just(required))
            -> (Vec<usize>, Vec<Vec<usize>>) { (required, choices) }
    }

    proptest! {
        #[test]
        fn no_assignment_fills_more_or_an_earlier_rule_better((required, choices) in cases()) {
            let assigned = assign(&required, &choices);
            for (vote, rule) in assigned.iter().enumerate() {
                prop_assert!(rule.is_none_or(|rule| choices[vote].contains(&rule)));
            }
            let filled = filled(required.len(), &assigned);
            prop_assert!(filled.iter().zip(&required).all(|(filled, required)| filled <= required));
            let best = best(&required, &choices, &mut vec![0; required.len()]);
            prop_assert_eq!((filled.iter().sum::<usize>(), filled), best);
        }

        #[test]
        fn the_order_of_votes_does_not_matter((required, choices) in cases(), turn in 0usize..7) {
            let mut turned = choices.clone();
            if !turned.is_empty() {
                turned.rotate_left(turn % choices.len());
            }
            prop_assert_eq!(
                filled(required.len(), &assign(&required, &choices)),
                filled(required.len(), &assign(&required, &turned))
            );
        }
    }

    proptest! {
        #[test]
        fn a_rule_is_wanted_exactly_if_one_more_vote_for_it_fills_more((required, choices) in cases()) {
            let assigned = assign(&required, &choices);
            let wanted = wanted(&required, &choices, &assigned);
            let sum = |votes: &[Option<usize>]| votes.iter().flatten().count();
            for (rule, wanted) in wanted.into_iter().enumerate() {
                let mut more = choices.clone();
                more.push(vec![rule]);
                let helped = sum(&assign(&required, &more)) > sum(&assigned);
                prop_assert_eq!(wanted, helped, "rule {}", rule);
            }
        }

        #[test]
        fn completing_takes_no_vote_from_a_rule_and_fills_as_much_as_beginning_anew(
            (required, choices) in cases(), present in 0usize..7
        ) {
            let mut before = assign(&required, &choices[..present.min(choices.len())]);
            before.resize(choices.len(), None);
            let after = complete(&required, &choices, before.clone());
            let (before, after) = (filled(required.len(), &before), filled(required.len(), &after));
            prop_assert!(before.iter().zip(&after).all(|(before, after)| before <= after));
            let anew = filled(required.len(), &assign(&required, &choices));
            prop_assert_eq!(after.iter().sum::<usize>(), anew.iter().sum::<usize>());
        }
    }

    #[test]
    fn a_voter_in_two_rules_leaves_the_one_that_others_can_fill() {
        // The first vote fits both rules, the second only the first: whoever came first, both rules are filled.
        for choices in [[vec![0, 1], vec![0]], [vec![0], vec![0, 1]]] {
            let assigned = assign(&[1, 1], &choices);
            assert_eq!(filled(2, &assigned), [1, 1], "{choices:?}");
        }
    }
}
