# Where this workflow's files are: PLACE. Of a module by github(…), Snakemake keeps a clone without files, and the
# package, its configuration and its schemas must be on the disk; so the commit is unpacked beside the clone, once.
import tarfile
import tempfile
from pathlib import Path

SOURCE = workflow.current_basedir
if SOURCE.is_local:
    PLACE = Path(SOURCE.get_path_or_uri(secret_free=False)).parent
else:
    CLONE = SOURCE.hosted_repo.repo
    PLACE = Path(f"{CLONE.git_dir}.unpacked", CLONE.commit(SOURCE.ref).hexsha)
    if not PLACE.exists():
        PLACE.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=PLACE.parent) as part:
            with open(f"{part}/archive.tar", "wb") as archive:
                CLONE.archive(archive, PLACE.name)
            with tarfile.open(f"{part}/archive.tar") as archive:
                archive.extractall(f"{part}/files", filter="data")
            try:
                Path(part, "files").rename(PLACE)
            except OSError:  # unless another process was first, nothing is there
                assert PLACE.exists()
