#!/usr/bin/env bash
# Builds the image from a static binary that is there already, with buildah and
# without pulling anything:
#
#     deploy/image.sh BINARY IMAGE
#
# The binary, with the machine's own toolchain (glibc 2.36 or newer), into
# target/<machine>-unknown-linux-gnu/dist:
#
#     .ci/build-static
#
# The image is the last stage of the Dockerfile beside this file, word for word. Its times
# are 0, so that the same binary gives the same layer.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: deploy/image.sh BINARY IMAGE" >&2
    exit 2
fi
binary=$1 image=$2

if ! command -v buildah >/dev/null; then
    echo "deploy/image.sh: buildah is missing: apt-get install buildah" >&2
    exit 1
fi
if [ ! -x "$binary" ]; then
    echo "deploy/image.sh: $binary is not there, or no program" >&2
    exit 1
fi
# In an empty image a dynamic binary fails with a bare `no such file or directory`.
if ! ldd "$binary" 2>&1 | grep -qE 'statically linked|not a dynamic executable'; then
    echo "deploy/image.sh: $binary is not static: build it as this script's first lines say" >&2
    exit 1
fi

# What the Dockerfile's builder stage leaves in /out.
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
mkdir -p "$built/out/empty" "$built/nothing"
cp "$binary" "$built/out/octavia-authz"
chmod 0755 "$built/out/octavia-authz"

buildah build --quiet --isolation chroot --format docker --timestamp 0 \
    --build-context "builder=$built" \
    --file "$(dirname "$0")/Dockerfile" --tag "$image" "$built/nothing" >/dev/null
echo "$image"
