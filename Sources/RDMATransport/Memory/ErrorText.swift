import Glibc

/// The C library's words for an error number.
package func errorText(_ number: Int32) -> String {
    // strerror's buffer is per thread in glibc ≥ 2.32.
    unsafe String(cString: strerror(number))
}
