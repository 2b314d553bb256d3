#!/usr/bin/env bash
# Fetches what corpus-en.toml and corpus-zh.toml read: documentation of a Debian system, about 60 MB
# packed, into recipes/corpus/packages. Needs Debian or Ubuntu (apt-get, dpkg-deb), but not root.
#
#   bash recipes/corpus/fetch.sh
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p packages

# The package of the version of the day that an empty one stands for.
version_of() {
    apt-cache depends "$1" | sed -n 's/^ *Depends: \(.*-doc.*\)$/\1/p' | head -n 1
}

packages=(
    debian-handbook debian-reference-en debian-reference-zh-cn git-doc installation-guide-amd64
    libreoffice-help-en-us libreoffice-help-zh-cn manpages-zh perl-doc
    "$(version_of linux-doc)" "$(version_of python3-doc)"
)
downloads=$(mktemp -d)
trap 'rm -rf "$downloads"' EXIT
(cd "$downloads" && apt-get download "${packages[@]}")
for file in "$downloads"/*.deb; do
    dpkg-deb --extract "$file" packages
done
du -sh packages
