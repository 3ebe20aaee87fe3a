// Changes of the server as they happen: by its event stream, or by asking every few seconds for users who may not read it.

const POLL_MS = 5000;

/** The state of the connection and the events, for whoever listens. */
export class Live extends EventTarget {
  #source;
  #timer;

  /** Begins. `streams` is false for users who may not read the events of others. */
  begin(streams) {
    this.end();
    if (!streams) {
      this.#timer = setInterval(() => this.dispatchEvent(new CustomEvent("poll")), POLL_MS);
      this.#state("polling");
      return;
    }
    this.#state("connecting");
    const source = new EventSource("/live");
    this.#source = source;
    source.onopen = () => this.#state("live");
    source.onmessage = (message) => {
      let event;
      try {
        event = JSON.parse(message.data);
      } catch {
        return;
      }
      this.dispatchEvent(new CustomEvent("event", { detail: event }));
    };
    source.addEventListener("ended", () => {
      this.end();
      document.dispatchEvent(new CustomEvent("loggedoff"));
    });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {
        this.#state("lost");
        this.dispatchEvent(new CustomEvent("lost"));
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.begin(true), POLL_MS);
      } else {
        this.#state("connecting");
      }
    };
  }

  end() {
    this.#source?.close();
    this.#source = undefined;
    clearInterval(this.#timer);
  }

  #state(state) {
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

export const live = new Live();
