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
        FabricError(.system, operation: operation, errorNumber: number, detail)
    }
}
