//! Text files in a folder are remembered as they are.

use std::{fs, time::Duration};

use openclaw_core::{memory::Query, time::Cancel};
use openclaw_memory::files::Folder;

use super::{fresh, scope, texts};

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_indexed_and_followed() {
    let (_folder, _store, memory) = fresh().await;
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(root.path().join(name), text).unwrap();
    fs::create_dir(root.path().join("memory")).unwrap();
    write("MEMORY.md", b"# Home\nThe key is under the blue pot.\n# Car\nIt is red.\n");
    write("memory/2026-03-01.md", b"Bought a bicycle.\n");
    write("memory/broken.md", &[0xff, 0xfe, 0x00]);
    write("README.md", b"Not a memory about bicycles.\n");
    let folder = Folder::workspace(root.path());
    let mut files = Vec::new();
    let first = folder.index(&memory, &scope(), |p| files.push(p.file)).await.unwrap();
    assert_eq!((first.files, first.pieces, first.changed, first.forgotten), (2, 3, 3, 0));
    assert_eq!(first.skipped.len(), 1);
    assert_eq!(files, ["MEMORY.md", "memory/2026-03-01.md", "memory/broken.md"]);
    assert_eq!(texts(&memory, &Query::new("bicycle", 5)).await, ["Bought a bicycle."]);
    let again = folder.index(&memory, &scope(), |_| ()).await.unwrap();
    assert_eq!((again.changed, again.forgotten), (0, 0));

    let cancel = Cancel::new();
    let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let watching = tokio::spawn({
        let (folder, memory, cancel) = (folder.clone(), memory.clone(), cancel.clone());
        async move {
            let each = Duration::from_millis(5);
            let hear = |indexed| tell.send(indexed).unwrap();
            folder.watch(&memory, &scope(), each, &cancel, hear).await;
        }
    });
    write("MEMORY.md", b"# Home\nThe key is with the neighbour.\n");
    fs::remove_file(root.path().join("memory/2026-03-01.md")).unwrap();
    // Both changes may be seen at once or one by one.
    while texts(&memory, &Query::new("neighbour", 1)).await.is_empty()
        || !texts(&memory, &Query::new("bicycle", 1)).await.is_empty()
    {
        heard.recv().await.unwrap().unwrap();
    }
    assert!(texts(&memory, &Query::new("red car", 5)).await.is_empty());
    cancel.cancel();
    watching.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_forgets_nothing() {
    let (_folder, _store, memory) = fresh().await;
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.txt"), "tea").unwrap();
    let folder = Folder::new(root.path());
    folder.index(&memory, &scope(), |_| ()).await.unwrap();
    drop(root);
    folder.index(&memory, &scope(), |_| ()).await.unwrap_err();
    assert_eq!(texts(&memory, &Query::new("tea", 5)).await, ["tea"]);
}
