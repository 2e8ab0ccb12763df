// libyaml, as it is.
#pragma once

// libc belongs to Swift's Glibc module.
#pragma clang module import SwiftGlibc

#include <yaml.h>
