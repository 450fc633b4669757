//! Peers of the socket, by what the kernel says of them.

use std::path::PathBuf;

use super::{Caller, Role};

/// Whose members may come in over the socket beside root and the agent's own user.
#[derive(Debug, Clone)]
pub struct Groups {
    /// `/etc/group`.
    pub group: PathBuf,
    /// `/etc/passwd`.
    pub passwd: PathBuf,
    /// Group names and what their members may.
    pub roles: Vec<(String, Role)>,
}

impl Groups {
    /// Of this machine.
    #[must_use]
    pub fn of_this_machine(roles: Vec<(String, Role)>) -> Self {
        Self {
            group: "/etc/group".into(),
            passwd: "/etc/passwd".into(),
            roles,
        }
    }
}

/// The process at the other end, as it was when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

impl Peer {
    /// What it may; `None`: nothing. The groups are those of the files, looked at anew each time: a person that was taken out
    /// of a group is out at once.
    #[must_use]
    pub fn caller(self, own: u32, groups: &Groups) -> Option<Caller> {
        let role = if self.uid == 0 || self.uid == own {
            Some(Role::Admin)
        } else if groups.roles.is_empty() {
            None
        } else {
            self.by_group(groups)
        };
        role.map(|role| Caller {
            name: format!("user {}", self.uid),
            role,
            via: "socket",
        })
    }

    fn by_group(self, groups: &Groups) -> Option<Role> {
        let passwd = fs_err::read_to_string(&groups.passwd).unwrap_or_default();
        let user = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(self.uid)).then_some(name)
        });
        let group = fs_err::read_to_string(&groups.group).unwrap_or_default();
        let member = |wanted: &str| {
            group.lines().any(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                let [name, _, gid, members] = fields[..] else {
                    return false;
                };
                let listed = user.is_some_and(|user| members.split(',').any(|m| m.trim() == user));
                name == wanted && (gid.parse() == Ok(self.gid) || listed)
            })
        };
        let of = groups.roles.iter().filter(|(name, _)| member(name));
        of.map(|(_, role)| *role).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_go_by_user_and_group() {
        let dir = tempfile::tempdir().unwrap();
        let (group, passwd) = (dir.path().join("group"), dir.path().join("passwd"));
        fs_err::write(&group, "root:x:0:\nops:x:50:ann, bob\nlook:x:60:eve\nbad\n").unwrap();
        fs_err::write(&passwd, "ann:x:1001:1001::/:\neve:x:1003:1003::/:\n").unwrap();
        let roles = vec![
            ("ops".to_owned(), Role::Operator),
            ("look".to_owned(), Role::Viewer),
        ];
        let groups = Groups {
            group,
            passwd,
            roles,
        };
        let role = |uid, gid| Peer { uid, gid }.caller(500, &groups).map(|c| c.role);
        assert_eq!(role(0, 0), Some(Role::Admin));
        assert_eq!(role(500, 500), Some(Role::Admin));
        assert_eq!(role(1001, 1001), Some(Role::Operator));
        assert_eq!(role(1003, 1003), Some(Role::Viewer));
        assert_eq!(role(1009, 50), Some(Role::Operator), "by primary group");
        assert_eq!(role(1009, 1009), None);
    }
}
