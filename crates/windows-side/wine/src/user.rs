//! Who Wine's programs run as.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use winterop_accounts::{Account, Accounts};

/// Who Wine's programs run as: the name of their folder below `C:\users`, and their Unix home.
///
/// It has to be the same for preparing the prefix and for every launch in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WineUser {
    /// The user's name.
    pub name: OsString,
    /// The user's home directory.
    pub home: PathBuf,
}

impl WineUser {
    /// This process's user, from `/etc/passwd`, else from `USER` and `HOME`, else `wine` in `/`. `HOME`
    /// comes before the home directory of `/etc/passwd`.
    pub fn current() -> Self {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let account = Accounts::read().by_id(rustix::process::getuid().as_raw());
        Self::of(account, variable("USER"), variable("HOME"))
    }

    fn of(account: Option<Account>, user: Option<OsString>, home: Option<OsString>) -> Self {
        let (name, own): (Option<Vec<u8>>, Option<Vec<u8>>) =
            account.map(|account| (account.name, account.home)).unzip();
        let home = home.map(PathBuf::from).filter(|home| home.is_absolute());
        let own = own.map(|own| OsString::from_vec(own).into());
        Self {
            name: name.map(OsString::from_vec).or(user).unwrap_or_else(|| "wine".into()),
            home: home.or(own).unwrap_or_else(|| "/".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_read_from_passwd_and_home_comes_first() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nu:x:1000:100::/home/u:/bin/sh\n";
        let accounts = Accounts::parse(passwd.as_bytes(), b"");
        let user = |account: Option<Account>, home: Option<&str>| {
            let user = WineUser::of(account, Some("me".into()), home.map(Into::into));
            (user.name.into_string().unwrap(), user.home.display().to_string())
        };
        let of = |name: &str, home: &str| (name.to_owned(), home.to_owned());
        assert_eq!(user(accounts.by_id(1000), None), of("u", "/home/u"));
        assert_eq!(user(accounts.by_id(1000), Some("/other")), of("u", "/other"));
        assert_eq!(user(accounts.by_id(1000), Some("relative")), of("u", "/home/u"));
        assert_eq!(user(accounts.by_id(1), None), of("me", "/"));
        let nobody = WineUser { name: "wine".into(), home: "/".into() };
        assert_eq!(WineUser::of(None, None, None), nobody);
    }
}
