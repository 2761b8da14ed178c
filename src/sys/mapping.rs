//! Shared mappings: a memfd (or a hugetlbfs file) on the largest pages that can be had, sealed
//! against shrinking, and touched whole before use. What lies inside is `mem`'s business.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::{Error, Result};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;

/// The pages that lie under a mapping, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pages {
    /// hugetlb pages of 1 GiB.
    Huge1G,
    /// hugetlb pages of 2 MiB.
    Huge2M,
    /// A file on a hugetlbfs mount, with the page size of that mount.
    HugeDir,
    /// 4 KiB pages for which transparent huge pages were asked and are allowed.
    Transparent,
    /// 4 KiB pages.
    Base,
}

impl Pages {
    /// What would have been better for a mapping of `bytes`, and the command that gives it; `None`
    /// on hugepages.
    pub fn better(self, bytes: usize) -> Option<String> {
        let pages = bytes.div_ceil(2 * MIB);
        matches!(self, Pages::Transparent | Pages::Base).then(|| {
            format!(
                "pools lie on {self}, where random access is 1.2 to 1.6 times slower; \
                 `hugepages/reserve.sh reserve --size 2M --count {pages}` before the start mends it"
            )
        })
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pages::Huge1G => "1 GiB hugepages",
            Pages::Huge2M => "2 MiB hugepages",
            Pages::HugeDir => "hugetlbfs file",
            Pages::Transparent => "transparent hugepages",
            Pages::Base => "4 KiB pages",
        })
    }
}

/// What a mapping is made of and how hard to try.
#[derive(Debug, Clone)]
pub struct Request {
    /// Shown in `/proc/PID/maps`, and the file's name where `huge_dir` is set.
    pub name: String,
    /// Bytes asked; rounded up to whole pages of the kind that is got.
    pub bytes: usize,
    /// Use 4 KiB pages only.
    pub no_huge: bool,
    /// Make a file on this hugetlbfs mount instead of a memfd.
    pub huge_dir: Option<PathBuf>,
    /// With `huge_dir`: leave no file behind.
    pub in_memory: bool,
    /// Fail unless the pages can be locked in memory.
    pub mlock: bool,
}

impl Request {
    /// `bytes` of memory called `name`, on the best pages there are.
    pub fn new(name: impl Into<String>, bytes: usize) -> Self {
        Self {
            name: name.into(),
            bytes,
            no_huge: false,
            huge_dir: None,
            in_memory: false,
            mlock: false,
        }
    }
}

/// A shared, writable mapping that this process made. Unmapped on drop; a file that it made on a
/// hugetlbfs mount is removed.
#[derive(Debug)]
pub struct Mapping {
    map: MmapRaw,
    file: File,
    pages: Pages,
    unlink: Option<PathBuf>,
}

impl Mapping {
    /// Maps `request.bytes`, trying 1 GiB pages, 2 MiB pages, transparent huge pages and 4 KiB pages
    /// in that order. `place` is called on the fresh range before any page is touched, so that a
    /// NUMA policy can be set. All of it is resident on return: the data path meets no page fault.
    pub fn create(request: &Request, place: impl Fn(&MmapRaw)) -> Result<Self> {
        let mapping = match &request.huge_dir {
            Some(dir) if !request.no_huge => Self::in_huge_dir(request, dir, &place)?,
            _ => Self::best_memfd(request, &place)?,
        };
        if request.mlock {
            mapping.map.lock().map_err(|e| mlock_error(request, e))?;
        }
        Ok(mapping)
    }

    fn best_memfd(request: &Request, place: &impl Fn(&MmapRaw)) -> Result<Self> {
        if !request.no_huge {
            for (pages, page_bytes) in [(Pages::Huge1G, GIB), (Pages::Huge2M, 2 * MIB)] {
                // A segment that fills less than half of a page would waste the rest.
                if request.bytes * 2 < page_bytes {
                    continue;
                }
                if let Ok(mapping) = Self::memfd(request, pages, page_bytes, place) {
                    return Ok(mapping);
                }
            }
        }
        let pages = if request.no_huge { Pages::Base } else { Pages::Transparent };
        Self::memfd(request, pages, 4 * KIB, place).map_err(|e| {
            let remedy = match e.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE) => "raise the limit on open files (`ulimit -n`)",
                _ => "free memory, or ask for smaller pools in [mempool] of the configuration",
            };
            let what = format!("map {} MiB for {}", request.bytes.div_ceil(MIB), request.name);
            Error::new(what, e, remedy)
        })
    }

    fn memfd(
        request: &Request,
        pages: Pages,
        page_bytes: usize,
        place: &impl Fn(&MmapRaw),
    ) -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC
            | MFdFlags::MFD_ALLOW_SEALING
            | match pages {
                Pages::Huge1G => MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_1GB,
                Pages::Huge2M => MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_2MB,
                _ => MFdFlags::empty(),
            };
        let file = File::from(memfd_create(request.name.as_str(), flags)?);
        let bytes = request.bytes.next_multiple_of(page_bytes);
        file.set_len(bytes as u64)?;
        // A peer that could shrink the file would make us fault on our own pool.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        let pages = if pages == Pages::Transparent { ask_transparent(&map) } else { pages };
        place(&map);
        populate(&map)?;
        Ok(Self { map, file, pages, unlink: None })
    }

    fn in_huge_dir(request: &Request, dir: &Path, place: &impl Fn(&MmapRaw)) -> Result<Self> {
        let path = dir.join(&request.name);
        let fail = |why: io::Error| huge_dir_error(&path, why);
        let page_bytes = hugetlbfs_page_bytes(dir).map_err(fail)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(fail)?;
        // From here on the file is removed whatever happens: by the guard, or with the mapping.
        let guard = Unlink(Some(path.clone()));
        let bytes = request.bytes.next_multiple_of(page_bytes);
        let map = file
            .set_len(bytes as u64)
            .and_then(|()| MmapOptions::new().len(bytes).map_raw(&file))
            .map_err(fail)?;
        place(&map);
        populate(&map).map_err(fail)?;
        let unlink = if request.in_memory { None } else { guard.keep() };
        Ok(Self { map, file, pages: Pages::HugeDir, unlink })
    }

    /// First byte of the mapping, aligned to a page.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Bytes mapped: what was asked, rounded up to whole pages.
    pub fn bytes(&self) -> usize {
        self.map.len()
    }

    /// The pages under it.
    pub fn pages(&self) -> Pages {
        self.pages
    }

    /// The file that another process maps to share it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// A second descriptor of the same memory, to hand to another process.
    pub fn try_clone_fd(&self) -> io::Result<OwnedFd> {
        self.file.try_clone().map(OwnedFd::from)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        drop(Unlink(self.unlink.take()));
    }
}

/// Maps all of a memfd or file that another process made, writable. The caller looks into its seals
/// or trusts the maker: a file that shrinks makes those who touch it fault.
///
/// # Errors
/// When the kernel refuses, or the file is empty.
pub fn map_shared(fd: BorrowedFd<'_>) -> io::Result<MmapRaw> {
    let file = File::from(fd.try_clone_to_owned()?);
    MmapOptions::new().map_raw(&file)
}

/// Removes a file when dropped, unless it was told to keep it.
struct Unlink(Option<PathBuf>);

impl Unlink {
    fn keep(mut self) -> Option<PathBuf> {
        self.0.take()
    }
}

impl Drop for Unlink {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing can be done about a file that someone else removed first.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Faults every page in, writable, and reports what a touch would turn into SIGBUS
/// (madvise(2), MADV_POPULATE_WRITE).
fn populate(map: &MmapRaw) -> io::Result<()> {
    map.advise(Advice::PopulateWrite)
}

/// Asks for transparent huge pages and says whether the kernel may give them to shared memory.
fn ask_transparent(map: &MmapRaw) -> Pages {
    let asked = map.advise(Advice::HugePage).is_ok();
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    let allowed = setting.is_ok_and(|s| !s.contains("[never]") && !s.contains("[deny]"));
    if asked && allowed { Pages::Transparent } else { Pages::Base }
}

fn hugetlbfs_page_bytes(dir: &Path) -> io::Result<usize> {
    const HUGETLBFS_MAGIC: i64 = 0x958458f6;
    let stat = nix::sys::statfs::statfs(dir)?;
    if stat.filesystem_type().0 as i64 != HUGETLBFS_MAGIC {
        return Err(io::Error::other("it does not lie on a hugetlbfs mount"));
    }
    Ok(stat.block_size() as usize)
}

fn huge_dir_error(path: &Path, why: io::Error) -> Error {
    let remedy = match why.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("give this instance a --file-prefix of its own, or remove {}", path.display())
        }
        _ => "reserve and mount hugepages with `hugepages/reserve.sh`, or leave out --huge-dir"
            .to_string(),
    };
    Error::new(format!("map a pool at {}", path.display()), why, remedy)
}

fn mlock_error(request: &Request, why: io::Error) -> Error {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MEMLOCK)
        .map_or_else(|_| "unknown".to_string(), |(soft, _)| format!("{} KiB", soft / 1024));
    Error::new(
        format!("lock {} MiB of {} in memory", request.bytes.div_ceil(MIB), request.name),
        format!("{why} (RLIMIT_MEMLOCK is {limit})"),
        "raise it with `ulimit -l unlimited` (or LimitMEMLOCK=infinity in the unit), or leave out --mlock",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_whole_pages_and_its_file_cannot_shrink() {
        let request = Request { no_huge: true, ..Request::new("test", 5000) };
        let mapping = Mapping::create(&request, |_| ()).unwrap();
        assert_eq!(mapping.bytes(), 8192);
        assert_eq!(mapping.pages(), Pages::Base);
        let file = File::from(mapping.try_clone_fd().unwrap());
        assert_eq!(file.set_len(4096).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn a_directory_that_is_no_hugetlbfs_mount_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let request =
            Request { huge_dir: Some(dir.path().to_path_buf()), ..Request::new("test", 4096) };
        let error = Mapping::create(&request, |_| ()).unwrap_err();
        assert!(error.why().contains("hugetlbfs"), "{error}");
        assert!(error.remedy().contains("reserve.sh"), "{error}");
    }

    #[test]
    fn memory_that_nobody_has_is_an_error_and_not_a_fault() {
        let error = Mapping::create(&Request::new("test", 1 << 50), |_| ()).unwrap_err();
        assert!(error.to_string().contains("map 1073741824 MiB"), "{error}");
    }
}
