//! Compiles the protobuf contract without protoc: protox reads it, tonic-prost-build writes the code.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROTO_DIR: &str = "proto/gatehouse/v1";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    // sqlx::migrate! embeds the folder but cannot tell cargo about new files in it.
    println!("cargo:rerun-if-changed=src/store/migrations");

    let mut files: Vec<PathBuf> = fs::read_dir(PROTO_DIR)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(&files)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The compiler's own encoding: prost's descriptor types would lose custom options.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;

    println!("cargo:rerun-if-env-changed=GATEHOUSE_REVISION");
    // A path that is missing would mean a rebuild every time.
    if Path::new(".git/HEAD").exists() {
        println!("cargo:rerun-if-changed=.git/HEAD");
    }
    println!("cargo:rustc-env=GATEHOUSE_REVISION={}", revision());
    Ok(())
}

/// The short commit, from the environment (an image build has no history) or from git.
fn revision() -> String {
    if let Ok(revision) = env::var("GATEHOUSE_REVISION") {
        return revision;
    }
    Command::new("git")
        .args(["rev-parse", "--short=11", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
