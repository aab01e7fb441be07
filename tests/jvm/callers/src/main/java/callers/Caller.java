package callers;

/** One way of calling. It is used by many threads at a time, and open as long as the process lives. */
interface Caller {
    /** Sends a request and waits for its reply. */
    Answer call(Call call) throws Exception;

    /** Sends what nobody answers. */
    void send(Call call) throws Exception;
}
