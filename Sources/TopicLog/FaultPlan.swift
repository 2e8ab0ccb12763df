/// Lets a test play a failing system, or a process that ends, at a chosen call that changes names or small files.
///
/// Bound to the calling task, so that tests run side by side; never set in a broker. Appends and data syncs have a seam
/// of their own, `LogStorage`, and do not look here.
package enum FaultPlan {
    /// Asked before each call with its operation and path: 0 to let it happen, an errno to fail it.
    @TaskLocal package static var current: (@Sendable (_ operation: String, _ path: String) -> Int32)?

    /// Fails as the plan says.
    static func check(_ operation: String, _ path: String) throws(LogError) {
        guard let plan = current else { return }
        let number = plan(operation, path)
        if number != 0 { throw LogError(errno: number, operation, path) }
    }
}
