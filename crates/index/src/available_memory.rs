//! How much memory the system could still give this process.

/// Free memory in bytes, what can be reclaimed included, by the machine and by the process's control groups. `None` where the
/// system does not tell.
pub fn available_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use std::fs::read_to_string;
        use std::path::Path;
        let machine = read_to_string("/proc/meminfo").ok().and_then(|text| machine_memory(&text));
        let own =
            read_to_string("/proc/self/cgroup").ok().and_then(|text| own_group(&text).map(str::to_owned));
        let groups = own.iter().flat_map(|own| Path::new(own).ancestors()).filter_map(|group| {
            let folder = Path::new("/sys/fs/cgroup").join(group);
            let read = |file: &str| read_to_string(folder.join(file)).ok();
            group_memory(&read("memory.max")?, &read("memory.current")?, &read("memory.stat")?)
        });
        groups.chain(machine).min()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// `MemAvailable` of `/proc/meminfo`.
#[cfg(any(target_os = "linux", test))]
fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The path of the process's group in `/proc/self/cgroup`, relative to the root, where control groups are of version 2.
#[cfg(any(target_os = "linux", test))]
fn own_group(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::/"))
}

/// What a group's limit leaves: pages of files that were not used lately are given back under pressure. `None` without a limit.
#[cfg(any(target_os = "linux", test))]
fn group_memory(max: &str, current: &str, stat: &str) -> Option<u64> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let reclaimable = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")).and_then(number);
    let used = number(current)?.saturating_sub(reclaimable.unwrap_or(0));
    Some(number(max)?.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_understood() {
        let meminfo =
            "MemTotal:       24000000 kB\nMemFree:         1000000 kB\nMemAvailable:   22000000 kB\n";
        assert_eq!(machine_memory(meminfo), Some(22_000_000 * 1024));
        assert_eq!(machine_memory("MemTotal: 5 kB\n"), None);
        assert_eq!(own_group("0::/\n"), Some(""));
        assert_eq!(own_group("12:memory:/old\n0::/system.slice/app\n"), Some("system.slice/app"));
        assert_eq!(own_group("12:memory:/old\n"), None);
        assert_eq!(
            group_memory("1000\n", "700\n", "anon 300\ninactive_file 400\nactive_file 0\n"),
            Some(700)
        );
        assert_eq!(group_memory("1000\n", "1200\n", ""), Some(0));
        assert_eq!(group_memory("max\n", "700\n", "inactive_file 400\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_system_tells() {
        assert!(available_memory().is_some_and(|bytes| bytes > 0));
    }
}
