"""A briefing on several topics: researched side by side, rewritten until it is good, and approved by a person.

Run it with `python briefing_graph.py`, in the folder that has briefing.py. It brings a Redis and workers of its own.
"""

from briefing import Research, State, approve, good_enough, look_up, note, to_each_topic, write

from orchestrator_client import END, START, Client, EventKind, StateGraph, tool

research = StateGraph(Research, id="research")
research.add_node("look_up", look_up).add_node("note", note)
research.add_edge(START, "look_up").add_edge("look_up", "note")

graph = StateGraph(State, id="briefing", max_iterations=10)
graph.add_node("research", research, max_parallel=2)
graph.add_node("write", write)
graph.add_node("approve", approve)
graph.add_node(
    "publish", tool("filesystem.write", path="briefing.txt", content="{{ draft }}"), condition="{{ approved }}"
)
graph.add_conditional_edges(START, to_each_topic, ["research"])
graph.add_edge("research", "write")
graph.add_conditional_edges("write", good_enough, {"poor": "write", "good": "approve"})
graph.add_edge("approve", "publish")
graph.add_edge("publish", END)

if __name__ == "__main__":
    with Client.local() as client:
        run = client.submit(graph, {"topics": ["Redis", "Celery", "Flower"]})
        for event in run.stream():
            print(event.kind, event.instance)
            if event.kind == EventKind.QUESTION_ASKED:
                run.answer(event.instance, "yes", by="the editor")
        print(run.result(timeout=60).outputs["state"]["draft"])
