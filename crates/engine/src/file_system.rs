//! File systems that a database must not be written on.

use std::path::Path;

use ferrochrome_types::Result;
#[cfg(any(target_os = "linux", test))]
use ferrochrome_types::{Code, Error};

/// Types, as the kernel names them, whose files lie on another machine: locks there hold on one machine only, are given up without
/// notice or are missing, and what is mapped changes or vanishes.
#[cfg(any(target_os = "linux", test))]
const NETWORK: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb",
    "smb2",
    "smb3",
    "smbfs",
    "ncpfs",
    "9p",
    "afs",
    "coda",
    "ceph",
    "lustre",
    "vboxsf",
    "prl_fs",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.goofys",
    "fuse.gcsfuse",
    "fuse.mount-s3",
    "fuse.blobfuse2",
    "fuse.glusterfs",
    "fuse.ceph-fuse",
    "fuse.davfs",
    "fuse.juicefs",
    "fuse.seaweedfs",
    "fuse.vmhgfs-fuse",
];

/// Where Linux lists what is mounted.
#[cfg(target_os = "linux")]
const MOUNTS: &str = "/proc/self/mountinfo";

/// Refuses a folder on a network file system. Other systems than Linux are not asked.
///
/// # Errors
/// `UnsafeFileSystem`, naming the type.
#[cfg(target_os = "linux")]
pub(crate) fn check(folder: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    // Without the list, or the folder in it, there is nothing to say.
    let (Ok(mounts), Ok(metadata)) = (std::fs::read(MOUNTS), folder.metadata()) else { return Ok(()) };
    let device = metadata.dev();
    // As the kernel's `MAJOR` and `MINOR` for user space.
    let major = (device >> 8) & 0xfff | (device >> 32) & !0xfff;
    let minor = device & 0xff | (device >> 12) & !0xff;
    check_mounted(folder, &format!("{major}:{minor}"), &String::from_utf8_lossy(&mounts))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn check(_folder: &Path) -> Result<()> {
    Ok(())
}

/// As [`check`], with the folder's device and a list of mounts like `/proc/self/mountinfo`.
#[cfg(any(target_os = "linux", test))]
fn check_mounted(folder: &Path, device: &str, mounts: &str) -> Result<()> {
    let of_device = mounts.lines().filter(|line| line.split(' ').nth(2) == Some(device));
    // Behind optional fields and a dash stands the type.
    let mut types = of_device.filter_map(|line| line.split_once(" - ")?.1.split(' ').next());
    match types.find(|found| NETWORK.contains(found)) {
        None => Ok(()),
        Some(found) => Err(Error::new(
            Code::UnsafeFileSystem,
            format!(
                "{} lies on a network file system ({found}), where locks do not keep two processes from writing and what is \
                 written may be lost. Choose a folder on a local disk, open it with readOnly: true, or pass \
                 allowNetworkFileSystem: true if no other machine uses the folder",
                folder.display()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:45 / /mnt/share rw,relatime shared:20 - nfs4 server:/export rw,vers=4.2
41 22 0:46 / /mnt/a\\040b rw,relatime master:3 shared:4 - fuse.sshfs me@host:/ rw
42 22 0:47 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw
43 22 0:48 / /mnt/c rw - 9p drvfs rw
broken line
";

    #[test]
    fn network_file_systems_are_refused_by_name() {
        let check = |device: &str| check_mounted(Path::new("/db"), device, LIST);
        for (device, name) in [("0:45", "nfs4"), ("0:46", "fuse.sshfs"), ("0:48", "9p")] {
            let error = check(device).unwrap_err();
            assert_eq!(error.code(), Code::UnsafeFileSystem);
            assert!(error.message().starts_with(&format!("/db lies on a network file system ({name})")));
        }
        for device in ["8:1", "0:47", "9:9", ""] {
            check(device).unwrap();
        }
    }

    #[test]
    fn the_folder_of_this_test_is_found_and_local() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path()).unwrap();
        check(Path::new("/does/not/exist")).unwrap();
    }
}
