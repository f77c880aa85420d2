//! Feeds `passwd` and `group`, with a zero between them, to their reader: who is found has the name and
//! the id that was asked for, and nobody has the id that stands for none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_accounts::Accounts;

fuzz_target!(|bytes: &[u8]| {
    let mut files = bytes.splitn(2, |byte| *byte == 0);
    let (passwd, group) = (files.next().unwrap_or_default(), files.next().unwrap_or_default());
    let accounts = Accounts::parse(passwd, group);
    for line in passwd.split(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let Some(account) = accounts.by_name(name) else { continue };
        assert_eq!(account.name, name);
        assert_ne!(account.user, u32::MAX);
        assert!(accounts.by_id(account.user).is_some_and(|found| found.user == account.user));
        assert_eq!(accounts.groups_of(&account).first(), Some(&account.group));
    }
    assert!(accounts.by_name(b"").is_none());
});
