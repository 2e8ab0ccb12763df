/// The event loops, as the reactor sees them.
protocol AnswerSink: AnyObject, Sendable {
    /// Hands a loop the answers of a turn: one call for each loop and turn, never for each answer.
    func deliver(_ answers: [KafkaAnswer], toLoop loop: Int)
    /// Stops listening and ends all connections; returns when the loops use nothing of the door any more.
    func shutdown()
    /// What the loops have done, for the log: name and count.
    var counters: [(name: String, count: Int)] { get }
}
