//! Who may do what: Unix groups that the configuration names, looked up on this host for the user id that the kernel
//! says the client has. What the client says of itself counts for nothing.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tern_config::Roles;
use tern_config::limits::Change;

/// What a role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Tightens limits, resumes, cancels all.
    Operator,
    /// Loosens limits too, resumes after a loss, accepts differences.
    RiskOfficer,
}

impl Role {
    /// The role that a set of changes needs.
    pub(crate) fn needed(changes: impl IntoIterator<Item = Change>) -> Self {
        match changes.into_iter().any(|change| change == Change::Looser) {
            true => Self::RiskOfficer,
            false => Self::Operator,
        }
    }

    /// The role that lifting a halt needs: one for a loss is the limit's affair, whatever the number says now.
    pub(crate) fn to_resume(halt: &str) -> Self {
        if matches!(halt, "daily_loss" | "drawdown") { Self::RiskOfficer } else { Self::Operator }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::RiskOfficer => "risk officer",
        }
    }
}

/// Whether the user `uid` has `role`.
///
/// # Errors
/// Who has it, for the user.
pub(crate) fn check(roles: &Roles, uid: u32, role: Role) -> Result<(), String> {
    let has = match role {
        Role::RiskOfficer => is_risk_officer(roles, uid),
        Role::Operator => is_operator(roles, uid),
    };
    if has { Ok(()) } else { Err(who_has(roles, role)) }
}

fn is_risk_officer(roles: &Roles, uid: u32) -> bool {
    (uid == 0 && roles.root_is_risk_officer) || is_member(uid, &roles.risk_officer)
}

/// Tightening must not fail for a group that is not there: then whoever reaches the socket may.
fn is_operator(roles: &Roles, uid: u32) -> bool {
    uid == 0 || gid_of(&roles.operator).is_none() || is_member(uid, &roles.operator) || is_risk_officer(roles, uid)
}

fn gid_of(group: &str) -> Option<Gid> {
    let named = Some(group).filter(|group| !group.is_empty())?;
    Group::from_name(named).ok().flatten().map(|group| group.gid)
}

fn is_member(uid: u32, group: &str) -> bool {
    let Some(gid) = gid_of(group) else { return false };
    let Some(user) = User::from_uid(Uid::from_raw(uid)).ok().flatten() else { return false };
    let Ok(name) = CString::new(user.name) else { return false };
    getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&gid))
}

/// Who has a role, in words.
fn who_has(roles: &Roles, role: Role) -> String {
    let group = if role == Role::Operator { &roles.operator } else { &roles.risk_officer };
    let members = match (group.as_str(), gid_of(group)) {
        ("", _) => None,
        (group, None) => Some(format!("the group `{group}` of [roles], which does not exist on this host")),
        (group, Some(_)) => {
            let listed = Group::from_name(group).ok().flatten().map(|found| found.mem).unwrap_or_default();
            let listed = if listed.is_empty() { String::new() } else { format!(" ({})", listed.join(", ")) };
            Some(format!("members of the group `{group}`{listed}"))
        }
    };
    let root = (role == Role::Operator || roles.root_is_risk_officer).then(|| "root".to_owned());
    let officers = (role == Role::Operator).then(|| "risk officers".to_owned());
    members.into_iter().chain(root).chain(officers).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user that is not root, with the name of its group; every host has one of the first.
    fn somebody() -> Option<(u32, String)> {
        ["nobody", "daemon", "bin"].iter().find_map(|name| {
            let user = User::from_name(name).ok().flatten().filter(|user| !user.uid.is_root())?;
            Some((user.uid.as_raw(), Group::from_gid(user.gid).ok().flatten()?.name))
        })
    }

    fn roles(operator: &str, risk_officer: &str, root: bool) -> Roles {
        Roles {
            operator: operator.into(),
            risk_officer: risk_officer.into(),
            root_is_risk_officer: root,
            ..Roles::default()
        }
    }

    #[test]
    fn loosening_anything_needs_the_risk_officer() {
        use Change::{Looser, None, Tighter};
        assert_eq!(Role::needed([Tighter, None]), Role::Operator);
        assert_eq!(Role::needed([Tighter, Looser]), Role::RiskOfficer);
        assert_eq!(Role::needed([]), Role::Operator);
    }

    #[test]
    fn roles_come_from_groups_of_this_host() {
        let (uid, group) = somebody().expect("a user of the system");
        let nobody_has = "no-such-group-here";
        for (what, roles, risk_officer, operator) in [
            ("nothing configured", roles("", "", true), false, true),
            ("a group of his", roles("", &group, true), true, true),
            ("the other group", roles(&group, "", true), false, true),
            ("a risk officer is an operator too", roles("root", &group, true), true, true),
            ("of neither", roles("root", "root", true), false, false),
            ("a group that is not there bars nobody from tightening", roles(nobody_has, nobody_has, true), false, true),
        ] {
            assert_eq!(check(&roles, uid, Role::RiskOfficer).is_ok(), risk_officer, "{what}");
            assert_eq!(check(&roles, uid, Role::Operator).is_ok(), operator, "{what}");
        }
        let absent = u32::MAX - 7;
        assert!(check(&roles("root", "root", true), absent, Role::Operator).is_err(), "a user that nobody knows");
    }

    #[test]
    fn root_is_a_risk_officer_unless_the_configuration_says_otherwise() {
        let (_, group) = somebody().expect("a user of the system");
        assert_eq!(check(&roles("", "", true), 0, Role::RiskOfficer), Ok(()));
        let strict = roles(&group, &group, false);
        let who = check(&strict, 0, Role::RiskOfficer).expect_err("not root");
        assert!(who.starts_with(&format!("members of the group `{group}`")) && !who.contains("root"), "{who}");
        assert_eq!(check(&strict, 0, Role::Operator), Ok(()), "nothing keeps root from tightening");
        let who = check(&roles("", "no-such-group-here", false), 0, Role::RiskOfficer).expect_err("there is none");
        assert!(who.contains("does not exist on this host"), "{who}");
    }
}
