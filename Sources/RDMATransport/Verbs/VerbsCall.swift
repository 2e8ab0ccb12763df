import Glibc

/// The three ways in which verbs report failure, each turned into a typed error in one place.
enum VerbsCall {
    /// For verbs that return an errno value (0: success).
    static func check(
        _ operation: String, _ result: Int32, _ detail: @autoclosure () -> String
    ) throws(FabricError) {
        guard result == 0 else { throw error(operation, abs(result), detail()) }
    }

    /// For calls that return −1 and set errno.
    static func checkMinusOne(
        _ operation: String, _ result: Int32, _ detail: @autoclosure () -> String
    ) throws(FabricError) {
        guard result == 0 else { throw error(operation, errno, detail()) }
    }

    /// For calls that return NULL and set errno.
    static func nonNull<T>(
        _ operation: String, _ result: UnsafeMutablePointer<T>?, _ detail: @autoclosure () -> String
    ) throws(FabricError) -> UnsafeMutablePointer<T> {
        guard let result = unsafe result else { throw error(operation, errno, detail()) }
        return unsafe result
    }

    private static func error(_ operation: String, _ number: Int32, _ detail: String) -> FabricError {
        FabricError.verbs(operation, number, detail)
    }
}

extension FabricError {
    /// A verb's failure. What the device, its driver or the kernel does not have is told apart from what went wrong.
    static func verbs(_ operation: String, _ number: Int32, _ detail: String) -> FabricError {
        let isUnsupported = number == EOPNOTSUPP || number == ENOSYS || number == EPROTONOSUPPORT
        return FabricError(isUnsupported ? .unsupported : .system, operation: operation, errorNumber: number, detail)
    }
}
