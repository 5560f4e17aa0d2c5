//! The demo tells its story, and notices when it went otherwise.

use std::{fs, path::Path, process::Command};

fn demo(campaigns: &Path) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("demo");
    let output = Command::new(env!("CARGO_BIN_EXE_beckon"))
        .args(["demo", "--once", "--data", data.to_str().expect("a path")])
        .args(["--campaigns", campaigns.to_str().expect("a path")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("beckon runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn campaigns() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/campaigns")
}

#[test]
fn the_story_ends_as_expected() {
    let (code, told, errors) = demo(&campaigns());
    assert_eq!(code, Some(0), "{told}{errors}");
    assert_eq!(
        told.lines().last(),
        Some("check-ins=13 transitions=19 deliveries=8 arrived=8")
    );
    assert!(
        told.contains("Mia, your Rose Cream") && told.contains("why: cafe-welcome: entered cafe/"),
        "{told}"
    );
}

#[test]
fn a_push_too_many_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(campaigns()).expect("campaigns") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a campaign");
        // Without its cap the café pushes Ada a second time.
        let text = if path.ends_with("cafe-welcome.json") {
            text.replace("\"caps\": [{\"max\": 1,", "\"caps\": [{\"max\": 9,")
        } else {
            text
        };
        fs::write(folder.path().join(path.file_name().expect("a name")), text).expect("written");
    }
    let (code, told, errors) = demo(folder.path());
    assert_eq!(code, Some(1), "{told}{errors}");
    assert!(
        errors.contains("cafe-welcome for ada arrived and should not have"),
        "{errors}"
    );
}
