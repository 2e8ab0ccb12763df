import Foundation

enum TestLength {
    /// Whether the long variants are asked for.
    static let isLong = ProcessInfo.processInfo.environment["RDMAD_TEST_LONG"] == "1"
}
