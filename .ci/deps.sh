#!/usr/bin/env bash
# Installs what the build, the tests and the plots need, when it is missing.
# With apt and the right to use it (root, or sudo without a password): installs. Otherwise prints
# the packages for apt, dnf and spack, and fails.
set -u

missing=() wanted=()
have_header() { printf '#include <%s>\n' "$1" | ${CC:-cc} -E ${2:-} - >/dev/null 2>&1; }
need() { missing+=("$1"); }

command -v "${CC:-cc}" >/dev/null || { need gcc; need libc6-dev; }
command -v make >/dev/null || need make
command -v pkg-config >/dev/null || need pkg-config
command -v git >/dev/null || need git
command -v mpicc >/dev/null || need libopenmpi-dev
command -v mpirun >/dev/null || need openmpi-bin
pkg-config --exists hdf5-serial 2>/dev/null || pkg-config --exists hdf5 2>/dev/null || need libhdf5-dev
have_header lz4.h || need liblz4-dev
have_header xxhash.h || need libxxhash-dev
have_header yaml.h || need libyaml-dev
have_header CUnit/Basic.h || need libcunit1-dev
have_header capstone/capstone.h || need libcapstone-dev
command -v qemu-x86_64 >/dev/null || need qemu-user
command -v xz >/dev/null || need xz-utils
command -v gzip >/dev/null || need gzip
for m in h5py pandas matplotlib; do
    /usr/bin/python3 -c "import $m" 2>/dev/null || need "python3-$m"
done
# Installed where that is possible; elsewhere the test that uses it says so and is skipped.
command -v valgrind >/dev/null || wanted+=(valgrind)

[ ${#missing[@]} -eq 0 ] && [ ${#wanted[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        as_root=(false)
    fi
fi
if command -v apt-get >/dev/null && [ "${as_root[0]:-}" != false ]; then
    echo "installing:" "${missing[@]}" "${wanted[@]}"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    if { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}" "${wanted[@]}"; } >"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -15 "$log"
fi
[ ${#missing[@]} -eq 0 ] && exit 0
cat >&2 <<TXT
concerto: error: packages are missing and cannot be installed from here: ${missing[*]}
Ask your administrator for them, or install:
  apt:   apt-get install gcc make pkg-config git openmpi-bin libopenmpi-dev libhdf5-dev liblz4-dev libxxhash-dev libyaml-dev libcunit1-dev libcapstone-dev qemu-user xz-utils python3-h5py python3-pandas python3-matplotlib valgrind
  dnf:   dnf install gcc make pkgconf git openmpi-devel hdf5-devel lz4-devel xxhash-devel libyaml-devel CUnit-devel capstone-devel qemu-user xz python3-h5py python3-pandas python3-matplotlib valgrind
  spack: spack install gcc gmake pkgconf openmpi hdf5~mpi lz4 xxhash libyaml cunit capstone qemu xz py-h5py py-pandas py-matplotlib valgrind
TXT
exit 1
