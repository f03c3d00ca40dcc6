//! From root to a user that can do no harm.

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{
    Gid, Group, Uid, User, chown, getegid, geteuid, getuid, initgroups, setgid, setuid,
};

use super::{Error, ProcessOptions};

/// Becomes `RunAsUser`, for good; nothing without that setting. `files` are given to that user before: the log file
/// and the PID file, which root has opened.
///
/// # Errors
///
/// When user or group do not exist, a step is not allowed, or the change could be undone. The caller must then not
/// serve.
pub fn drop_privileges(options: &ProcessOptions, files: &[&Path]) -> Result<(), Error> {
    let Some(name) = &options.user else {
        return Ok(());
    };
    let user = User::from_name(name)
        .ok()
        .flatten()
        .ok_or_else(|| Error::NoUser(name.clone()))?;
    let group = match &options.group {
        Some(group) => {
            let found = Group::from_name(group).ok().flatten();
            found.ok_or_else(|| Error::NoGroup(group.clone()))?.gid
        }
        None => user.gid,
    };
    // Already there, as after a start by systemd: nothing to drop, and no right to try.
    if !geteuid().is_root() && geteuid() == user.uid && getegid() == group {
        return Ok(());
    }
    become_user(&user, group, files).map_err(|(step, source)| Error::Privileges {
        user: name.clone(),
        step,
        source,
    })?;
    if is_final(user.uid, group) {
        Ok(())
    } else {
        Err(Error::Reversible { user: name.clone() })
    }
}

/// The order matters: groups can be changed by root only.
fn become_user(user: &User, group: Gid, files: &[&Path]) -> Result<(), (&'static str, Errno)> {
    let name = CString::new(user.name.as_str()).map_err(|_| ("its name", Errno::EINVAL))?;
    for file in files {
        // A file that another user owns on purpose may still be writable through its group.
        let _ = chown(*file, Some(user.uid), Some(group));
    }
    initgroups(&name, group).map_err(|errno| ("initgroups", errno))?;
    setgid(group).map_err(|errno| ("setgid", errno))?;
    setuid(user.uid).map_err(|errno| ("setuid", errno))
}

/// Whether we are that user and cannot be root again.
fn is_final(user: Uid, group: Gid) -> bool {
    let there = getuid() == user && geteuid() == user && getegid() == group;
    there && (user.is_root() || setuid(Uid::from_raw(0)).is_err())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn options(user: Option<&str>, group: Option<&str>) -> ProcessOptions {
        ProcessOptions {
            user: user.map(str::to_owned),
            group: group.map(str::to_owned),
            ..ProcessOptions::default()
        }
    }

    #[test]
    fn without_a_user_nothing_changes() {
        let before = (getuid(), getegid());
        drop_privileges(&options(None, Some("nogroup")), &[]).unwrap();
        assert_eq!((getuid(), getegid()), before);
    }

    #[test]
    fn user_or_group_that_does_not_exist_is_named() {
        let error = drop_privileges(&options(Some("no-such-user"), None), &[]).unwrap_err();
        assert!(error.to_string().contains("no-such-user"), "{error}");
        let error =
            drop_privileges(&options(Some("root"), Some("no-such-group")), &[]).unwrap_err();
        assert!(error.to_string().contains("no-such-group"), "{error}");
    }
}
