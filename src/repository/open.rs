//! Opening a repository, and nothing outside of the root.

use std::path::{Component, Path};

use super::Problem;

/// Opens the repository at `path` below `root`, which is canonical. Every folder that git would read objects or names
/// from must be below the root, wherever links, `.git` files and alternates lead.
pub fn open(root: &Path, path: &str) -> Result<gix::Repository, Problem> {
    let plain = |component| matches!(component, Component::Normal(_));
    if path.is_empty() || path.contains('\0') || !Path::new(path).components().all(plain) {
        return Err(Problem::Path);
    }
    let place = inside(root, &root.join(path))?;
    // A folder that is no repository must not make git look for one above it.
    let options = gix::open::Options::isolated().strict_config(false);
    let repository = gix::open_opts(place, options).map_err(Problem::reading)?;
    inside(root, repository.git_dir())?;
    inside(root, repository.common_dir())?;
    let objects = repository.objects.store_ref();
    inside(root, objects.path())?;
    for alternate in objects.alternate_db_paths().map_err(Problem::reading)? {
        inside(root, &alternate)?;
    }
    Ok(repository)
}

/// Where a path leads, if that is inside of the root.
fn inside(root: &Path, path: &Path) -> Result<std::path::PathBuf, Problem> {
    let real = path.canonicalize().map_err(Problem::reading)?;
    if real.starts_with(root) {
        Ok(real)
    } else {
        Err(Problem::Outside)
    }
}
