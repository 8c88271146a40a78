

def main(text):
    import json

    # Answers are written where no print of a broken environment can reach.
    sys.setrecursionlimit(10000)
    print(json.dumps(describe(json.loads(text))))
