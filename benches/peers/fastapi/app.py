"""The usual way to write this service: FastAPI, SQLAlchemy and asyncpg.

Create, get and list of deployments on PostgreSQL, with tokens and memberships, as a competent team would write them:
asynchronous throughout, a pool of connections, joins instead of lazy loads, one transaction for each request, indexes for
what is asked. It keeps no log of events and has no gate for approvals: it has less to do.
"""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import BigInteger, DateTime, ForeignKey, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, contains_eager, mapped_column, relationship

DEVELOPER = 30
REPORTER = 20
# Nobody pages through more than that; counting them all would cost more than the page.
TOTAL_MAX = 10_000

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=16, max_overflow=0, pool_pre_ping=False)
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger, datetime: DateTime(timezone=True)}


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    name: Mapped[str]
    state: Mapped[str]
    avatar_url: Mapped[str | None]


class Token(Base):
    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    secret_hash: Mapped[str]
    revoked: Mapped[bool]


class Project(Base):
    __tablename__ = "projects"
    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str]
    last_iid: Mapped[int]


class Membership(Base):
    __tablename__ = "memberships"
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    access_level: Mapped[int]


class Environment(Base):
    __tablename__ = "environments"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    slug: Mapped[str]
    external_url: Mapped[str | None]


class Deployment(Base):
    __tablename__ = "deployments"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    iid: Mapped[int]
    environment_id: Mapped[int] = mapped_column(ForeignKey("environments.id"))
    ref: Mapped[str]
    tag: Mapped[bool]
    sha: Mapped[str]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    status: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    environment: Mapped[Environment] = relationship(lazy="raise")
    user: Mapped[User] = relationship(lazy="raise")


class Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class UserOut(Out):
    id: int
    username: str
    name: str
    state: str
    avatar_url: str | None


class EnvironmentOut(Out):
    id: int
    name: str
    slug: str
    external_url: str | None


class DeploymentOut(Out):
    id: int
    iid: int
    ref: str
    sha: str
    status: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    user: UserOut
    environment: EnvironmentOut


class DeploymentIn(BaseModel):
    environment: str = Field(min_length=1, max_length=255)
    sha: str = Field(min_length=1, max_length=255)
    ref: str = Field(min_length=1, max_length=255)
    tag: bool = False
    status: Literal["created", "running", "success", "failed", "canceled"] = "created"


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


class Caller:
    """Who calls, and what they may do in the project: one statement for both."""

    def __init__(self, user: User, access_level: int) -> None:
        self.user = user
        self.access_level = access_level

    def must(self, level: int) -> None:
        if self.access_level < level:
            raise HTTPException(403, "403 Forbidden")


async def caller(project_id: int, session: Session, private_token: Annotated[str, Header()]) -> Caller:
    secret_hash = hashlib.sha256(private_token.encode()).hexdigest()
    found = await session.execute(
        select(User, Membership.access_level)
        .join(Token, Token.user_id == User.id)
        .outerjoin(Membership, (Membership.user_id == User.id) & (Membership.project_id == project_id))
        .where(Token.secret_hash == secret_hash, Token.revoked.is_(False))
    )
    row = found.one_or_none()
    if row is None:
        raise HTTPException(401, "401 Unauthorized")
    user, level = row
    if level is None or level < REPORTER:
        raise HTTPException(404, "404 Project Not Found")
    return Caller(user, level)


Who = Annotated[Caller, Depends(caller)]

WHOLE = (
    select(Deployment)
    .join(Deployment.environment)
    .join(Deployment.user)
    .options(contains_eager(Deployment.environment), contains_eager(Deployment.user))
)


@app.get("/api/v4/projects/{project_id}/deployments/{deployment_id}", response_model=DeploymentOut)
async def get_deployment(project_id: int, deployment_id: int, session: Session, who: Who) -> Deployment:
    found = await session.scalar(
        WHOLE.where(Deployment.id == deployment_id, Deployment.project_id == project_id)
    )
    if found is None:
        raise HTTPException(404, "404 Deployment Not Found")
    return found


@app.get("/api/v4/projects/{project_id}/deployments", response_model=list[DeploymentOut])
async def list_deployments(
    project_id: int,
    session: Session,
    who: Who,
    response: Response,
    sort: Literal["asc", "desc"] = "asc",
    pagination: Literal["keyset"] | None = None,
    cursor: int | None = None,
    page: Annotated[int, Query(ge=1)] = 1,
    per_page: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[Deployment]:
    of_project = Deployment.project_id == project_id
    rows = WHOLE.where(of_project).order_by(Deployment.id.asc() if sort == "asc" else Deployment.id.desc())
    response.headers["X-Per-Page"] = str(per_page)
    if pagination == "keyset":
        if cursor is not None:
            rows = rows.where(Deployment.id > cursor if sort == "asc" else Deployment.id < cursor)
        found = list(await session.scalars(rows.limit(per_page + 1)))
        if len(found) > per_page:
            response.headers["X-Next-Cursor"] = str(found[per_page - 1].id)
    else:
        found = list(await session.scalars(rows.limit(per_page + 1).offset((page - 1) * per_page)))
        counted = select(Deployment.id).where(of_project).limit(TOTAL_MAX + 1).subquery()
        total = await session.scalar(select(func.count()).select_from(counted))
        response.headers["X-Page"] = str(page)
        response.headers["X-Next-Page"] = str(page + 1) if len(found) > per_page else ""
        if total <= TOTAL_MAX:
            response.headers["X-Total"] = str(total)
    return found[:per_page]


@app.post("/api/v4/projects/{project_id}/deployments", response_model=DeploymentOut, status_code=201)
async def create_deployment(project_id: int, new: DeploymentIn, session: Session, who: Who) -> Deployment:
    who.must(DEVELOPER)
    environment = await session.scalar(
        select(Environment).where(Environment.project_id == project_id, Environment.name == new.environment)
    )
    if environment is None:
        raise HTTPException(404, "404 Environment Not Found")
    iid = await session.scalar(
        update(Project)
        .where(Project.id == project_id)
        .values(last_iid=Project.last_iid + 1)
        .returning(Project.last_iid)
    )
    now = datetime.now(timezone.utc)
    deployment = Deployment(
        project_id=project_id,
        iid=iid,
        environment=environment,
        user=who.user,
        ref=new.ref,
        tag=new.tag,
        sha=new.sha,
        status=new.status,
        created_at=now,
        updated_at=now,
        finished_at=None if new.status in ("created", "running") else now,
    )
    session.add(deployment)
    await session.commit()
    return deployment
