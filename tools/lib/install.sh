# Sourced by the scripts that install what others made; they set $cache, the directory that keeps it.
# shellcheck shell=bash

say() { echo "${0##*/}: $*" >&2; }
pip() { timeout 600 python3 -m pip "$1" --quiet --disable-pip-version-check --no-cache-dir --no-deps "${@:2}" >&2; }
apt() {
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get -q update >&2 || true     # the lists may be there, and there may be no network
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" >&2
}
# Each part is left in $work by its function; then $work becomes the part's directory.

# debian_source PACKAGE=VERSION: Debian's source in $work, from where the machine has Debian's packages from.
debian_source() {
  local archive
  # shellcheck disable=SC2016
  archive=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' \
    | awk '$2 == "bookworm" { print $1; exit }')
  [ -n "$archive" ] || { say "apt-get knows no archive of Debian 12: run apt-get update"; return 1; }
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive bookworm main" >"$work/sources.list"
  cat >"$work/apt.conf" <<END
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
APT::Sandbox::User "root";
END
  (
    export APT_CONFIG=$work/apt.conf
    apt-get -q update >&2
    cd "$work"
    apt-get -q source --download-only "$1" >&2
  )
  tar -xf "$work/${1%%=*}"_*.orig.tar.[gx]z -C "$work" --strip-components 1
  rm -rf "$work"/{lists,cache,sources.list,apt.conf} "$work/${1%%=*}"_*
}

# cached NAME FUNCTION: the part's directory, made when it is not there.
cached() {
  local place=$cache/$1
  mkdir -p "$cache"
  exec 9>"$cache/.$1.lock"
  flock 9
  if ! [ -d "$place" ]; then
    work=$(mktemp -d "$cache/$1.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    say "fetching $1"
    "$2"
    rm -rf "$work/wheel"
    chmod 755 "$work"
    mv -T "$work" "$place"
    trap - EXIT
  fi
  exec 9>&-
  echo "$place"
}

python_version() { python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }
