//! Sets, conditions and rights: truth tables and properties.

use proptest::prelude::*;

use super::*;

fn set(conditions: &[Condition]) -> ConditionSet {
    let mut set = ConditionSet::default();
    for condition in conditions {
        set.insert(*condition);
    }
    set
}

#[test]
fn a_condition_is_met_by_exactly_what_it_asks_for() {
    use Condition::{Own, OwnDraft, Published};
    // Owner, state, subject: is it published, is it own, is it an own draft?
    let table = [
        ("ana", "published", "ana", [true, true, false]),
        ("ana", "draft", "ana", [false, true, true]),
        ("ana", "", "ana", [false, true, false]),
        ("ana", "archived", "ana", [false, true, false]),
        ("ben", "published", "ana", [true, false, false]),
        ("ben", "draft", "ana", [false, false, false]),
        ("", "published", "ana", [true, false, false]),
        ("", "draft", "ana", [false, false, false]),
        ("", "", "ana", [false, false, false]),
        // A key without a subject owns nothing, least of all what has no owner.
        ("", "published", "", [true, false, false]),
        ("", "draft", "", [false, false, false]),
        ("ana", "draft", "", [false, false, false]),
        // Names are compared as they stand.
        ("Ana", "Draft", "ana", [false, false, false]),
        ("ana ", "Published", "ana", [false, false, false]),
    ];
    for (owner, state, subject, expected) in table {
        let attributes = Attributes { owner, state };
        let case = format!("{attributes:?} {subject:?}");
        for (condition, met) in [Published, Own, OwnDraft].into_iter().zip(expected) {
            assert_eq!(condition.met_by(&attributes, subject), met, "{case}");
            let alone = set(&[condition]);
            assert_eq!(alone.met_by(&attributes, subject), met, "{case}");
        }
        let [published, own, own_draft] = expected;
        for (conditions, met) in [
            (set(&[]), false),
            (set(&[Published, Own]), published || own),
            (set(&[Published, OwnDraft]), published || own_draft),
            (set(&[Published, Own, OwnDraft]), published || own),
        ] {
            assert_eq!(conditions.met_by(&attributes, subject), met, "{case}");
        }
    }
    assert!(!set(&Condition::ALL).met_by(&Attributes::default(), "ana"));
    assert!(!set(&Condition::ALL).met_by(&Attributes::default(), ""));
}

#[test]
fn a_request_that_carries_what_a_condition_needs_meets_it() {
    for condition in Condition::ALL {
        let mut attributes = Attributes::default();
        for (attribute, value) in condition.needs("ana") {
            assert!(!condition.met_by(&attributes, "ana"), "{condition:?}");
            match attribute {
                "resource.owner" => attributes.owner = value,
                "resource.state" => attributes.state = value,
                _ => panic!("{attribute}"),
            }
        }
        assert!(condition.met_by(&attributes, "ana"), "{condition:?}");
    }
    let needs: Vec<_> = Condition::OwnDraft.needs("ana").collect();
    assert_eq!(needs, [("resource.owner", "ana"), ("resource.state", "draft")]);
}

#[test]
fn a_condition_has_one_name() {
    for condition in Condition::ALL {
        assert_eq!(Condition::parse(condition.name()), Some(condition));
    }
    for name in ["", "Own", "own ", "own-draft", "draft"] {
        assert_eq!(Condition::parse(name), None, "{name}");
    }
}

#[test]
fn a_set_of_conditions_holds_what_was_put_into_it() {
    use Condition::{Own, OwnDraft};
    assert!(set(&[]).is_empty());
    assert!(set(&Condition::ALL).iter().eq(Condition::ALL));
    assert!(set(&[Own]).contains(Own) && !set(&[Own]).contains(OwnDraft));
}

#[test]
fn a_set_holds_every_action_there_can_be() {
    let mut set = ActionSet::default();
    assert!(set.is_empty());
    let all: Vec<_> = (0..ActionSet::CAPACITY).map(|index| ActionId::new(index).unwrap()).collect();
    for (index, action) in all.iter().enumerate() {
        assert!(!set.contains(*action));
        set.insert(*action);
        assert!(set.contains(*action));
        assert_eq!(set.len(), index + 1);
    }
    assert!(set.iter().eq(all.iter().copied()));
    assert_eq!(ActionId::new(ActionSet::CAPACITY), None);
    for action in all {
        set.remove(action);
        assert!(!set.contains(action));
    }
    assert_eq!(set, ActionSet::default());
}

/// Few actions, one in each word of a set, so that generated rights meet.
fn action() -> impl Strategy<Value = ActionId> {
    prop::sample::select(vec![0, 63, 64, 130, 255]).prop_map(|index| ActionId::new(index).unwrap())
}

fn rights() -> impl Strategy<Value = Rights> {
    let condition = prop::option::of(prop::sample::select(Condition::ALL.to_vec()));
    prop::collection::vec((action(), condition), 0..8).prop_map(|entries| {
        let mut rights = Rights::default();
        for (action, condition) in entries {
            match condition {
                Some(condition) => rights.grant_when(action, condition),
                None => rights.grant(action),
            }
        }
        rights
    })
}

/// Rights of which one covers the other more often than chance would have it.
fn rights_and_more() -> impl Strategy<Value = (Rights, Rights)> {
    let more = prop::collection::vec(action(), 0..6);
    (rights(), rights(), more, any::<bool>()).prop_map(|(some, others, more, related)| {
        let mut covering = if related { some.clone() } else { others };
        for action in more {
            covering.grant(action);
        }
        (covering, some)
    })
}

fn subject() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "ana", "ben"])
}

fn attributes() -> impl Strategy<Value = Attributes<'static>> {
    let state = prop::sample::select(vec!["", "draft", "published", "archived"]);
    (subject(), state).prop_map(|(owner, state)| Attributes { owner, state })
}

/// Every request that could tell two rights apart.
fn requests() -> Vec<(ActionId, Attributes<'static>)> {
    let mut requests = Vec::new();
    for index in [0, 1, 63, 64, 130, 255] {
        for owner in ["", "ana", "ben"] {
            for state in ["", "draft", "published", "archived"] {
                requests.push((ActionId::new(index).unwrap(), Attributes { owner, state }));
            }
        }
    }
    requests
}

proptest! {
    #[test]
    fn rights_cover_themselves(rights in rights()) {
        prop_assert!(rights.covers(&rights, true));
        prop_assert!(rights.covers(&Rights::default(), false));
    }

    #[test]
    fn to_cover_is_transitive(a in rights(), b in rights(), c in rights(), same in any::<bool>()) {
        if a.covers(&b, same) && b.covers(&c, same) {
            prop_assert!(a.covers(&c, same));
        }
    }

    #[test]
    fn rights_with_a_grant_cover_those_without(rights in rights(), more in action()) {
        let mut granted = rights.clone();
        granted.grant(more);
        prop_assert!(granted.covers(&rights, true));
        prop_assert_eq!(granted.right(more), Right::Always);
        prop_assert_eq!(rights.covers(&granted, true), rights.right(more) == Right::Always);
    }

    /// Soundness and completeness: to cover is to allow whatever the other allows.
    #[test]
    fn to_cover_is_to_allow_all_that_the_other_allows((a, b) in rights_and_more()) {
        let allows_all = |subject_a: &str, subject_b: &str| {
            requests().into_iter().all(|(action, attributes)| {
                !b.right(action).allows(&attributes, subject_b)
                    || a.right(action).allows(&attributes, subject_a)
            })
        };
        prop_assert_eq!(a.covers(&b, true), allows_all("ana", "ana"));
        prop_assert_eq!(a.covers(&b, false), allows_all("ana", "ben"));
    }

    #[test]
    fn what_covers_allows_no_less_for_any_request(
        (a, b) in rights_and_more(),
        action in action(),
        attributes in attributes(),
        subject in subject(),
        other in subject(),
    ) {
        let allowed = b.right(action).allows(&attributes, subject);
        if a.covers(&b, true) && allowed {
            prop_assert!(a.right(action).allows(&attributes, subject));
        }
        if a.covers(&b, false) && allowed {
            prop_assert!(a.right(action).allows(&attributes, other));
        }
    }

    #[test]
    fn an_action_is_allowed_always_or_on_conditions_but_not_both(rights in rights()) {
        for (action, conditions) in rights.conditional() {
            prop_assert!(!conditions.is_empty());
            prop_assert!(!rights.always().contains(action));
            prop_assert_eq!(rights.right(action), Right::When(conditions));
        }
        let listed = rights.conditional().count() + rights.always().len();
        let held = (0..256)
            .filter_map(ActionId::new)
            .filter(|action| rights.right(*action) != Right::Never)
            .count();
        prop_assert_eq!(listed, held);
    }
}

#[test]
fn of_the_built_in_roles_only_super_admin_gives_all() {
    let policy = Policy::built_in().unwrap();
    let service = policy.service(DEFAULT_SERVICE).unwrap();
    let all = service.roles().iter().map(Role::name).filter(|role| service.gives_all(role));
    assert_eq!(all.collect::<Vec<_>>(), ["super_admin"]);
    assert!(!service.gives_all("gone"));
}

#[test]
fn no_role_changes_to_a_role_by_all_that_it_may_ever_do_in_policy_order() {
    let policy = Policy::built_in().unwrap();
    let service = policy.service(DEFAULT_SERVICE).unwrap();
    for role in service.roles() {
        let rights = service.rights(role.name(), &[]);
        let changes: Vec<_> = RightChange::between(service, None, rights.clone()).collect();
        let expected: Vec<_> = (0..service.actions().len())
            .filter_map(ActionId::new)
            .map(|action| (action, Right::Never, role.rights().right(action)))
            .filter(|(_, before, after)| before != after)
            .collect();
        let found: Vec<_> =
            changes.iter().map(|change| (change.action, change.before, change.after)).collect();
        assert_eq!(found, expected, "{}", role.name());
        assert_eq!(RightChange::between(service, rights.clone(), rights).count(), 0);
    }
}
